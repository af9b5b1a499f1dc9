package config

import "slices"

// Variable is one row of the table: everything about one environment variable.
type Variable struct {
	Name     string
	Section  string
	Default  string // as a user would write it; "" if there is none or it depends on something
	Shown    string // the default in words, if Default is not enough
	Sentence string
	Example  string // a value
	Secret   bool   // never printed; an LB_ one can also be given as NAME_FILE
	Service  bool   // describes a backend service: it has a form for each service
	Route    bool   // describes a route: it has a form for each service and route

	form   form
	derive func(*environment) string // the default, if it depends on other variables
	own    bool                      // it is not a default for names
	// whether a value is a default for names; nil for all values, unless own
	inherit func(text string) bool
	masked  func(given string) string // masks the secret part of a value
	// the text that the field is decoded from without a value and a default
	unset   string
	lenient bool // an unsupported value is a warning and counts as unset
	// known, but not in this version: it is refused by name
	notYet bool
}

// The sections of the reference, in its order.
const (
	processSection   = "Process"
	backendsSection  = "Backends and selection"
	routesSection    = "Routes"
	accessSection    = "Access"
	affinitySection  = "Session affinity"
	healthSection    = "Health, ejection, retries"
	cacheSection     = "Cache"
	compressSection  = "Compression"
	telemetrySection = "OpenTelemetry"
	platformSection  = "Platform"
)

// Variables returns the table, in the order of the reference.
func Variables() []Variable {
	return slices.Concat(processVariables(), backendVariables(), routeVariables(),
		accessVariables(), authVariables(), rateLimitVariables(),
		affinityVariables(), healthVariables(),
		cacheVariables(), cacheSizeVariables(), compressVariables(),
		telemetryVariables(), platformVariables())
}

// Names returns every known name, including the _FILE forms of secrets.
func Names() []string {
	var names []string
	for _, v := range Variables() {
		names = append(names, v.Name)
		if v.hasFile() {
			names = append(names, v.Name+"_FILE")
		}
	}

	return names
}

// Accepted describes the accepted values in words.
func (v Variable) Accepted() string {
	if v.hasFile() {
		return v.form.accepted + ", or its file as " + v.fileName()
	}
	return v.form.accepted
}

// DefaultText describes the value of an unset variable in words.
func (v Variable) DefaultText() string {
	switch {
	case v.Shown != "":
		return v.Shown
	case v.Default != "":
		return v.Default
	default:
		return "unset"
	}
}

// ours reports whether the name is Pillion's own, not that of a standard.
func (v Variable) ours() bool { return isOurs(v.Name) }

func (v Variable) hasFile() bool { return v.Secret && v.ours() }

// problem makes a Problem of this variable. given is its value.
func (v Variable) problem(given string, cause error) Problem {
	p := Problem{Variable: v.Name, Given: clip(withoutUserInfo(given)), Accepted: v.Accepted(),
		Reason: quote(given) + " " + cause.Error()}
	if v.Secret {
		p.Given, p.Reason = mask, "the value "+cause.Error()
	}

	if v.Example != "" {
		p.Example = v.Name + "='" + v.Example + "'"
	}

	if v.lenient {
		p.Reason += ", so it counts as unset"
	}

	return p
}
