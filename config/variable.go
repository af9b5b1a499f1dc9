package config

import "slices"

// Variable is one row of the table: what the program and its users know about one environment variable.
type Variable struct {
	Name     string
	Section  string
	Default  string // as a user would write it; "" when there is none or it depends on something
	Shown    string // the default in words, where Default says too little
	Sentence string
	Example  string // a value
	Secret   bool   // never printed; an LB_ one can also be given as NAME_FILE
	Service  bool   // describes the backend service, not the process

	form    form
	derive  func(*environment) string // the default, where it depends on other variables
	unset   string                    // what the field is decoded from when there is neither value nor default
	lenient bool                      // an unsupported value is a warning and counts as unset
	notYet  bool                      // part of the contract, not built in this version: refused by name
}

// The sections of the reference, in its order.
const (
	processSection   = "Process"
	backendsSection  = "Backends and selection"
	affinitySection  = "Session affinity"
	healthSection    = "Health, ejection, retries"
	telemetrySection = "OpenTelemetry"
	platformSection  = "Platform"
)

// Variables returns the table, in the order of the reference.
func Variables() []Variable {
	return slices.Concat(processVariables(), backendVariables(), affinityVariables(), healthVariables(),
		telemetryVariables(), platformVariables())
}

// Names returns every name that may stand in the environment, the _FILE forms of secrets included.
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

// Accepted says in words what may be given.
func (v Variable) Accepted() string {
	if v.hasFile() {
		return v.form.accepted + ", or its file as " + v.Name + "_FILE"
	}
	return v.form.accepted
}

// DefaultText says in words what counts when the variable is unset.
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

// ours reports whether the name belongs to us and not to a standard.
func (v Variable) ours() bool { return isOurs(v.Name) }

func (v Variable) hasFile() bool { return v.Secret && v.ours() }

// problem is a Problem of this variable; given is what its value was.
func (v Variable) problem(given string, cause error) Problem {
	p := Problem{Variable: v.Name, Given: clip(withoutUserInfo(given)), Accepted: v.Accepted(), Reason: quote(given) + " " + cause.Error()}
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
