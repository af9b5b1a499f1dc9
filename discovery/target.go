package discovery

import "strings"

// Kind is how the backends of a target are found.
type Kind string

// The kinds of target. Each has its own source.
const (
	Fixed     Kind = "fixed"     // http, https, h2c, h2 or no scheme: the backend itself
	DNS       Kind = "dns"       // every A and AAAA record is a backend
	SRV       Kind = "srv"       // every SRV record is a backend
	Run       Kind = "run"       // a Cloud Run service by its name
	Attribute Kind = "attribute" // a list of targets in a metadata attribute
	Demo      Kind = "demo"      // embedded echo servers
)

// Target is one item of LB_BACKENDS, understood. It is a comparable value: two equal targets find the same backends.
type Target struct {
	Item     string  // as written, for logs and as the Source of its backends
	Kind     Kind    //
	Template Backend // what every backend of the target shares; a fixed target's is the whole backend
	Host     string  // the DNS or SRV name to look up
	Port     string  // of DNS targets
	Service  string  // of run targets
	Region   string  // of run targets; "" is our own
	Project  string  // project number of run targets; "" is our own
	Tag      string  // traffic tag of run targets; "" for none
	Path     string  // of attributes, below computeMetadata/v1/: "instance/attributes/KEY"
	Fallback string  // the attribute that counts while Path is not defined; "" for none
	Count    int     // of demo targets
	Written  bool    // the item stands in LB_BACKENDS itself and not in an attribute
}

// attributeOfMachine is the target that stands for a missing LB_BACKENDS.
func attributeOfMachine() Target {
	return Target{
		Item:     "metadata://instance/attributes/lb-backends",
		Kind:     Attribute,
		Path:     "instance/attributes/lb-backends",
		Fallback: "project/attributes/lb-backends",
		Written:  true,
	}
}

// Items splits a list of targets as the environment's lists are split: at semicolons, commas and line breaks. Blanks
// around items and empty items are dropped.
func Items(list string) []string {
	var items []string
	for item := range strings.FieldsFuncSeq(list, func(r rune) bool { return r == ';' || r == ',' || r == '\n' || r == '\r' }) {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}
