package discovery

import "strings"

// Kind is a way in which the backends of a target are found.
type Kind string

// The kinds of target. Each has its own source.
const (
	Fixed     Kind = "fixed"     // http, https, h2c, h2 or no scheme: the backend itself
	DNS       Kind = "dns"       // every A and AAAA record is a backend
	SRV       Kind = "srv"       // every SRV record is a backend
	Run       Kind = "run"       // a Cloud Run service by its name
	Attribute Kind = "attribute" // a list of targets in a metadata attribute
	File      Kind = "file"      // a list of targets in a file
	RunList   Kind = "run+list"  // the Cloud Run services of a region with some labels
	GCE       Kind = "gce"       // the instances of a group, or those with some labels
	GCENEG    Kind = "gce+neg"   // the endpoints of a network endpoint group
	// the pods of a Service of Kubernetes
	Kubernetes Kind = "k8s"
	XDS        Kind = "xds"  // the endpoints of a cluster that a control plane names
	Demo       Kind = "demo" // embedded echo servers
)

// Target is one parsed item of LB_BACKENDS. It is comparable: two equal targets
// have the same backends.
type Target struct {
	Item string // as written, for logs and as the Source of its backends
	Kind Kind   //
	// the common part of the target's backends; for a fixed target, the whole
	// backend
	Template Backend
	Host     string // the DNS or SRV name to look up
	Resolver string // host:port of the DNS server for it; "" is the system's
	// of DNS targets; of Kubernetes and gce targets its number or name, "" for
	// the only one
	Port string
	// of run and Kubernetes targets; of xDS targets the cluster
	Service string
	Server  string // host:port of an xDS target's control plane; "" is that of the bootstrap file
	Node    string // who asks that server; "" is the name of this service
	Secure  bool   // that server is asked over TLS
	// of Kubernetes targets; "" is that of this pod
	Namespace string
	Region    string // of run targets; "" is that of this process
	// of run targets its number, of others its id or number; "" is that of this
	// process
	Project  string
	Labels   string // of run+list and gce targets: KEY=VALUE&KEY=*
	Group    string // of gce and gce+neg targets; "" is no group
	Location string // a zone or a region, of gce and gce+neg targets; "" is every zone
	NetTag   string // network tag of gce targets; "" for any
	Network  string // of gce targets, where their address is; "" is the first interface's
	Tag      string // traffic tag of run targets; "" for none
	// of attributes, below computeMetadata/v1/: "instance/attributes/KEY"; of
	// files, the file's
	Path     string
	Fallback string // the attribute to use while Path is not defined; "" for none
	Count    int    // of demo targets
	Written  bool   // the item is in LB_BACKENDS itself, not in a nested list
}

// attributeOfMachine returns the target that replaces a missing LB_BACKENDS.
func attributeOfMachine() Target {
	return Target{
		Item:     "metadata://instance/attributes/lb-backends",
		Kind:     Attribute,
		Path:     "instance/attributes/lb-backends",
		Fallback: "project/attributes/lb-backends",
		Written:  true,
	}
}

// Items splits a list of targets at semicolons, commas and line breaks, like
// the lists of the environment. It drops blanks around items, and empty items.
func Items(list string) []string {
	var items []string
	for item := range strings.FieldsFuncSeq(list,
		func(r rune) bool { return r == ';' || r == ',' || r == '\n' || r == '\r' }) {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}

	return items
}
