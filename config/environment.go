package config

import (
	"fmt"
	"strings"
)

// environment is what was given, judged by the table. It is the look-up that go-envconfig decodes the Config from.
type environment struct {
	table []Variable
	rows  map[string]Variable // the table by name
	given map[string]string   // by name, without blanks around it; the empty are unset and missing here
	good  map[string]string   // by name, what its field is decoded from; only what was given and is acceptable

	memoryLimit int64 // the machine's; bytes, 0: none

	problems []Problem
	warnings []Problem
}

// newEnvironment takes pairs as os.Environ gives them. Of two pairs with one name the first counts, as for getenv(3).
func newEnvironment(pairs []string) *environment {
	e := &environment{table: Variables(), rows: map[string]Variable{}, given: map[string]string{}, good: map[string]string{}}
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
		if !e.rows[name].Secret {
			value = strings.TrimSpace(value)
		}
		if value != "" {
			e.given[name] = value
		}
	}
	return e
}

// judge asks every variable's form whether what was given is acceptable. A value that is not is a problem and counts
// as unset from here on, so that one mistake neither hides another nor causes one.
func (e *environment) judge() {
	for _, v := range e.table {
		if given, ok := e.given[v.Name]; ok && e.applies(v) {
			e.judgeOne(v, given)
		}
	}
}

func (e *environment) judgeOne(v Variable, given string) {
	if v.notYet {
		e.problems = append(e.problems, Problem{Variable: v.Name, Reason: "is not supported in this version"})
		return
	}
	text, err := v.form.parse(given)
	switch {
	case err == nil:
		e.good[v.Name] = text
	case v.lenient:
		e.warnings = append(e.warnings, v.problem(given, err))
	default:
		e.problems = append(e.problems, v.problem(given, err))
	}
}

// applies reports whether a variable means us: in the egress role PORT is the app's.
func (e *environment) applies(v Variable) bool {
	return v.Name != "PORT" || e.text("LB_ROLE") != string(Egress)
}

// Lookup returns what the field of a variable is decoded from: its value, else its default.
func (e *environment) Lookup(name string) (string, bool) {
	if text, ok := e.good[name]; ok {
		return text, true
	}
	v, ok := e.rows[name]
	if !ok {
		return "", false
	}
	if text := v.fallback(e); text != "" {
		text, err := v.form.parse(text)
		return text, err == nil
	}
	return v.unset, v.unset != ""
}

// text is what Lookup returns, "" for nothing.
func (e *environment) text(name string) string {
	text, _ := e.Lookup(name)
	return text
}

// accepted is what was given for a variable if it is acceptable, else "".
func (e *environment) accepted(name string) string {
	if _, ok := e.good[name]; !ok {
		return ""
	}
	return e.given[name]
}

// fallback is the default of v as a user would write it, "" when there is none.
func (v Variable) fallback(e *environment) string {
	if v.derive != nil {
		return v.derive(e)
	}
	return v.Default
}

// missing adds a problem of a variable that should have been given.
func (e *environment) missing(name, reason string) {
	v := e.rows[name]
	e.problems = append(e.problems, Problem{Variable: name, Reason: reason, Accepted: v.Accepted(), Example: name + "='" + v.Example + "'"})
}

// quote shows a value in a message: one line, not too long, without the user info of URLs.
func quote(given string) string { return fmt.Sprintf("%q", clip(withoutUserInfo(given))) }

// withoutUserInfo masks what stands before the "@" of every URL in s, also of one that lacks its scheme: it may be a
// password. A password may hold anything, the separators of lists included, so more is masked rather than less.
func withoutUserInfo(s string) string {
	parts := strings.Split(s, "://")
	for i, part := range parts {
		if at := strings.LastIndexByte(part, '@'); at >= 0 && (i > 0 || !isAssignment(part[:at])) {
			parts[i] = mask + part[at:]
		}
	}
	return strings.Join(parts, "://")
}

// isAssignment reports whether what stands before an "@" is the beginning of key=value, as in owner=me@example.com.
func isAssignment(s string) bool { return strings.Contains(s, "=") && !strings.Contains(s, ":") }
