package config

import (
	"fmt"
	"strings"
)

// environment holds the given values, checked by the table. go-envconfig
// decodes the Config from it.
type environment struct {
	table []Variable
	rows  map[string]Variable // the table by name
	// by name, without blanks around it; empty values count as unset and are
	// left out
	given map[string]string
	// by name: the texts that fields are decoded from, of given and valid
	// values only
	good map[string]string
	// the declared names, in upper case; true for a service, which has its own
	// backends
	names map[string]bool
	name  string // the name whose view this is, see in; "" for the unnamed one

	memoryLimit int64 // the machine's; bytes, 0: none
	descriptors int   // that the process may have open; 0: no limit

	problems []Problem
	warnings []Problem
	files    []follower // the files of settings
}

// newEnvironment makes an environment from pairs as os.Environ returns them. Of
// two pairs with one name, the first counts, as for getenv(3).
func newEnvironment(pairs []string) *environment {
	e := &environment{table: Variables(), rows: map[string]Variable{}, given: map[string]string{},
		good: map[string]string{}}
	for _, v := range e.table {
		e.rows[v.Name] = v
	}

	seen := map[string]bool{}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		if seen[name] {
			continue
		}

		seen[name] = true
		base, _, _ := strings.Cut(name, separator)
		if e.rows[base].Secret {
			value = withoutLineBreak(value)
		} else {
			value = strings.TrimSpace(value)
		}

		if value != "" {
			e.given[name] = value
		}
	}

	return e
}

// judge checks every given value by the form of its variable. An invalid value
// is a problem and counts as unset from then on, so one mistake does not hide
// or cause another.
func (e *environment) judge() {
	e.declare()
	for _, v := range e.table {
		if given, ok := e.given[v.Name]; ok && e.applies(v) {
			e.judgeOne(v, given)
		}
	}

	e.judgeNamed()
}

func (e *environment) judgeOne(v Variable, given string) {
	if v.notYet {
		e.problems = append(e.problems, Problem{Variable: v.Name,
			Reason: "is not supported in this version"})
		return
	}

	text, err := v.form.parse(given)
	if err != nil && isQuoted(given) {
		err = errQuoted
	}
	switch {
	case err == nil:
		e.good[v.Name] = text
	case v.lenient:
		e.warnings = append(e.warnings, v.problem(given, err))
	default:
		e.problems = append(e.problems, v.problem(given, err))
	}
}

// applies reports whether a variable is for Pillion: in the egress role PORT is
// the app's.
func (e *environment) applies(v Variable) bool {
	return v.Name != "PORT" || e.text("LB_ROLE") != string(Egress)
}

// Lookup returns the text that the field of a variable is decoded from: its
// value, else its default.
func (e *environment) Lookup(name string) (string, bool) {
	v, ok := e.rows[name]
	if e.name != "" && ok {
		if text, given := e.good[v.named(e.name).Name]; given {
			return text, true
		}
	}

	if text, given := e.good[name]; given && (e.name == "" || v.inherited(text)) {
		return text, true
	}

	if !ok {
		return "", false
	}

	if text := v.fallback(e); text != "" {
		text, err := v.form.parse(text)
		return text, err == nil
	}

	return v.unset, v.unset != ""
}

// text returns the text of Lookup, or "".
func (e *environment) text(name string) string {
	text, _ := e.Lookup(name)
	return text
}

// accepted returns the given value of a variable if it is valid, else "".
func (e *environment) accepted(name string) string {
	if _, ok := e.good[name]; !ok {
		return ""
	}
	return e.given[name]
}

// inherited reports whether a value of the unnamed variable is a default for
// names.
func (v Variable) inherited(text string) bool {
	return !v.own && (v.inherit == nil || v.inherit(text))
}

// fallback returns the default of v as a user would write it, or "".
func (v Variable) fallback(e *environment) string {
	if v.derive != nil {
		return v.derive(e)
	}
	return v.Default
}

// missing adds the problem that a required variable is missing.
func (e *environment) missing(name, reason string) {
	base, scope, _ := strings.Cut(name, separator)
	v := e.rows[base].named(scope)
	e.problems = append(e.problems, Problem{Variable: name, Reason: reason, Accepted: v.Accepted(),
		Example: name + "='" + v.Example + "'"})
}

// quote returns a value for a message: in one line, not too long, without the
// user info of URLs and without what may be a key.
func quote(given string) string { return fmt.Sprintf("%q", clip(withoutUserInfo(given))) }

// withoutUserInfo masks the part before the "@" of every URL in s, also of one
// without a scheme, because it may be a password. A password may contain any
// character, also separators of lists, so it masks more rather than less.
func withoutUserInfo(s string) string {
	if at := strings.Index(s, pemHead); at >= 0 {
		s = s[:at] + pemHead + " " + mask // it may be a private key
	}

	parts := strings.Split(s, "://")
	for i, part := range parts {
		if at := strings.LastIndexByte(part, '@'); at >= 0 && (i > 0 || !isAssignment(part[:at])) {
			parts[i] = mask + part[at:]
		}
	}

	return strings.Join(parts, "://")
}

// isAssignment reports whether the text before an "@" begins a key=value, as in
// owner=me@example.com.
func isAssignment(s string) bool { return strings.Contains(s, "=") && !strings.Contains(s, ":") }
