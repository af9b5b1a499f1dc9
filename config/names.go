package config

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// A variable LB_X__NAME is LB_X for one service or route. LB_BACKENDS__NAME
// declares a service and a route to it; LB_ROUTE__NAME alone declares a route.
// A variable that is not given for a name is inherited from the variable
// without a name, except variables that are marked own.

// separator is between a variable and a name.
const separator = "__"

// isName reports whether a text is a valid name.
func isName(name string) bool {
	return len(name) <= 32 && regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$`).MatchString(name)
}

// named returns the variable of the table for one name.
func (v Variable) named(name string) Variable {
	if name != "" {
		v.Name += separator + name
	}

	return v
}

// fileName returns the name of the variable with the path of a secret's file.
func (v Variable) fileName() string {
	base, name, found := strings.Cut(v.Name, separator)
	if found {
		return base + "_FILE" + separator + name
	}

	return v.Name + "_FILE"
}

// hasNames reports whether the variable has a form for a name.
func (v Variable) hasNames() bool { return v.Service || v.Route }

// in returns the view of a name on the environment, with its own list of
// problems.
func (e *environment) in(name string) *environment {
	scoped := *e
	scoped.name, scoped.problems, scoped.warnings, scoped.files = name, nil, nil, nil

	return &scoped
}

// scopes returns "" and all names, in alphabetical order.
func (e *environment) scopes() []string {
	return append([]string{""}, slices.Sorted(maps.Keys(e.names))...)
}

// declare finds the declared names. e.names is true for those of services.
func (e *environment) declare() {
	e.names = map[string]bool{}
	for full := range e.given {
		base, name, found := strings.Cut(full, separator)
		if !found || !isName(name) || name == "DEFAULT" || looksLikeLink(full) {
			continue
		}

		switch base {
		case "LB_BACKENDS":
			e.names[name] = true
		case "LB_ROUTE":
			e.names[name] = e.names[name] || e.given["LB_BACKENDS"+separator+name] != ""
		}
	}
}

// judgeNamed checks the values that were given with a name.
func (e *environment) judgeNamed() {
	for _, full := range slices.Sorted(maps.Keys(e.given)) {
		base, name, found := strings.Cut(full, separator)
		if !found || !isOurs(full) || e.isLinkOfName(full) {
			continue
		}

		v, isFile := e.rowOf(base)
		if why := e.misnamed(v, full, base, name); why != "" {
			e.problems = append(e.problems, Problem{Variable: full, Given: mask, Reason: why})
			continue
		}

		if !isFile {
			e.judgeOne(v.named(name), e.given[full])
		}
	}
}

// rowOf returns the row of a variable without its name, also for its _FILE
// form.
func (e *environment) rowOf(base string) (v Variable, isFile bool) {
	if v, ok := e.rows[base]; ok {
		return v, false
	}

	if secret, ok := strings.CutSuffix(base, "_FILE"); ok && e.rows[secret].hasFile() {
		return e.rows[secret], true
	}

	return Variable{}, false
}

// misnamed returns what is wrong with a variable's name, or "".
func (e *environment) misnamed(v Variable, full, base, name string) string {
	_, isService := e.names[name]
	declared := isService
	switch {
	case looksLikeLink(full):
		return "ends like the variables that Kubernetes makes for a service, and such a name " +
			"can't be told from one: choose another"
	case v.Name == "":
		why := "is not a variable of Pillion" + meant(base, e.namedBases())
		if near := Nearest(base, e.namedBases(), "LB_"); near != "" {
			why += separator + name
		}
		return why
	case !v.hasNames():
		return base + " belongs to the process and has no form for a name"
	case name == "DEFAULT":
		return "default is how the unnamed service is called; its variable is " + base
	case strings.Contains(name, separator):
		return "a name has no '" + separator + "'"
	case isName(strings.ToUpper(name)) && name != strings.ToUpper(name):
		return "names are written in capitals: " + base + separator + strings.ToUpper(name)
	case !isName(name):
		return "a name is written in capitals, digits and single underscores, begins with a " +
			"letter and has at most 32 of them"
	case !declared:
		return e.undeclared(v, base, name)
	case v.Service && !v.Route && base != "LB_BACKENDS" && !e.names[name]:
		return fmt.Sprintf("%s is a route without backends of its own (it uses service %s); this "+
			"describes a service",
			strings.ToLower(name), cmp.Or(e.given["LB_SERVICE"+separator+name], DefaultName))
	}

	return ""
}

// undeclared returns the reason for a name that no variable declares.
func (e *environment) undeclared(v Variable, base, name string) string {
	small := strings.ToLower(name)
	if of, ok := strings.CutSuffix(name, "_FILE"); ok && v.hasFile() && base == v.Name {
		return fmt.Sprintf("no service is called %s; the secret's file is %s_FILE%s%s", small, base,
			separator, of)
	}

	why := fmt.Sprintf("no service or route is called %s "+
		"(neither LB_BACKENDS__%s nor LB_ROUTE__%[2]s is set)", small, name)
	var known []string
	for other, isService := range e.names {
		if isService || v.Route {
			known = append(known, other)
		}
	}

	if len(known) == 0 {
		return why
	}

	slices.Sort(known)

	return why + "; the nearest is " + base + separator + nearest(name, known)
}

// namedBases returns the variables that have a form for a name.
func (e *environment) namedBases() []string {
	var bases []string
	for _, v := range e.table {
		if v.hasNames() {
			bases = append(bases, v.Name)
		}

		if v.hasNames() && v.hasFile() {
			bases = append(bases, v.Name+"_FILE")
		}
	}

	return bases
}

// looksLikeLink reports whether a name has the form of a variable that
// Kubernetes or Docker makes for a service or a link.
func looksLikeLink(name string) bool {
	for _, pattern := range []string{linkHost, linkPort, linkAddress, linkDetail, linkName} {
		if regexp.MustCompile(pattern).MatchString(name) {
			return true
		}
	}

	return false
}

// isLinkOfName reports whether Kubernetes made a variable with a name in it,
// for a service with such a name. Its form and its value are those that
// Kubernetes uses.
func (e *environment) isLinkOfName(full string) bool {
	value := e.given[full]
	is := func(pattern string) bool { return regexp.MustCompile(pattern).MatchString(full) }
	scheme, _, isURL := strings.Cut(value, "://")
	_, isNumber := digits(value)
	_, err := netip.ParseAddr(value)
	isAddress := isURL && (scheme == "tcp" || scheme == "udp" || scheme == "sctp")
	switch {
	case is(linkHost):
		return err == nil
	case is(linkPort):
		return isNumber
	case is(linkDetail):
		return isAddress || isNumber || err == nil || value == "tcp" || value == "udp" ||
			value == "sctp"
	case is(linkAddress):
		return isAddress
	}

	return e.isLinkedVariable(full)
}
