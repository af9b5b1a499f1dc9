package discovery

import (
	"fmt"
	"strings"

	"github.com/pillion-lb/pillion/config"
)

const (
	listVariable = "LB_BACKENDS"
	exampleList  = "http://10.0.0.7:8080;https://app.example.com?name=blue&weight=3"
)

// grammar says which kinds of target a list may contain.
type grammar struct {
	variable string // the variable with the list, for messages
	// the list is in an attribute or in a file: it has no further lists, no
	// demo, no unusable addresses
	nested bool
}

// schemes returns the schemes that the list may contain, for messages.
func (g grammar) schemes() string {
	var schemes []string
	for _, k := range allKinds() {
		if k.written && g.nested {
			continue
		}

		for _, scheme := range k.schemes {
			if scheme != "" {
				schemes = append(schemes, scheme)
			}
		}
	}

	return strings.Join(schemes, ", ")
}

// Parse reads the items of LB_BACKENDS, each
// [scheme://]authority[?key=value&…]. It returns all problems; if there are
// any, the targets are incomplete. General URL parsers are not used: they
// reject ":8081", and accept paths, user info and odd spellings that would be
// ignored or misread later.
func Parse(items []string) ([]Target, []config.Problem) {
	return ParseFor(listVariable, items)
}

// ParseFor is Parse for the list of another variable, such as
// LB_BACKENDS__NAME.
func ParseFor(variable string, items []string) ([]Target, []config.Problem) {
	return grammar{variable: variable}.parse(items)
}

func (g grammar) parse(items []string) ([]Target, []config.Problem) {
	var targets []Target
	var problems []config.Problem
	named := map[string]int{}
	for i, item := range items {
		p := &parser{grammar: g, number: i + 1, item: strings.TrimSpace(item)}
		t := p.target()
		if first := named[t.Template.Name]; first != 0 && t.Template.Name != "" &&
			len(p.problems) == 0 {
			p.failf("another name with ?name=", "the name %q is that of item %d already",
				t.Template.Name, first)
		}

		problems = append(problems, p.problems...)
		if len(p.problems) == 0 {
			named[t.Template.Name] = p.number
			targets = append(targets, t)
		}
	}

	return targets, problems
}

// parser reads one item and collects its problems.
type parser struct {
	grammar
	number   int
	item     string
	problems []config.Problem
}

// failf records a problem: what is accepted, then what is wrong.
func (p *parser) failf(accepted, format string, args ...any) {
	p.problems = append(p.problems, config.Problem{
		Variable: p.variable,
		Given:    masked(p.item),
		Reason: fmt.Sprintf("item %d %q: ", p.number, masked(p.item)) +
			fmt.Sprintf(format, args...),
		Accepted: accepted,
		Example:  p.variable + "='" + exampleList + "'",
	})
}

// masked returns an item for output: short, without user info and without
// values. User info is everything before the last "@", because a password may
// contain a question mark.
func masked(item string) string {
	if at := strings.LastIndexByte(item, '@'); at >= 0 {
		scheme, _, ok := strings.Cut(item[:at], "://")
		if item = "***" + item[at:]; ok {
			item = scheme + "://" + item
		}
	}

	item, _, query := strings.Cut(item, "?")
	if len(item) > 120 {
		item = item[:120] + "…"
	}

	if query {
		item += "?…"
	}

	return item
}

func (p *parser) target() Target {
	item, ok := p.unescaped()
	if !ok || p.slip(item) {
		return Target{}
	}

	rest, query, asked := strings.Cut(item, "?")
	scheme, authority, given := strings.Cut(rest, "://")
	if !given {
		scheme, authority = "", rest
	}

	t := Target{Item: p.item, Written: !p.nested}
	t.Template = Backend{Protocol: config.Auto, Weight: 1, Source: p.item, Guarded: p.nested}
	k, ok := p.kind(scheme)
	if !ok {
		return t
	}

	t.Kind = k.name
	k.parse(p, scheme, authority, &t)
	if asked {
		p.keys(query, k, &t)
	}

	if k.finish != nil && len(p.problems) == 0 {
		k.finish(p, &t)
	}

	return t
}

// unescaped replaces %3B and %2C, which stand for the separators of lists.
// There are no other escapes.
func (p *parser) unescaped() (string, bool) {
	for _, r := range p.item {
		switch {
		case r < ' ' || r == 0x7f:
			p.failf("printable characters", "it contains a control character")
			return "", false
		case r > 0x7f:
			p.failf("ASCII; an international host name in its xn-- form",
				"it contains the character %q", r)
			return "", false
		case r == ' ':
			p.failf("no blanks inside an item; items are separated by ';'", "it contains a blank")
			return "", false
		}
	}

	// first, because no other message may show a part of it
	if strings.Contains(p.item, "@") {
		p.failf("host and port only", "user info is refused: credentials do not belong into a "+
			"target")
		return "", false
	}

	item := strings.NewReplacer("%3B", ";", "%3b", ";", "%2C", ",", "%2c", ",").Replace(p.item)
	if _, weight, found := strings.Cut(item, "weight="); found && strings.Contains(weight, "%") {
		p.failf("a weight from 0 to 256",
			"a weight is a whole number, a ratio to the others, and no share in percent")
		return "", false
	}
	if strings.Contains(item, "%") {
		p.failf("only %3B and %2C", "it contains a percent sign")
		return "", false
	}

	return item, true
}

// kind returns the kind of an item by its scheme, if the list may contain such
// an item.
func (p *parser) kind(scheme string) (kind, bool) {
	k, known := kindOf(scheme)
	switch {
	case !known:
		p.unknownScheme(scheme)
	case k.written && p.nested:
		p.failf(p.schemes(), "%s:// may stand in LB_BACKENDS only", scheme)
	default:
		return k, true
	}

	return kind{}, false
}

func (p *parser) unknownScheme(scheme string) {
	if lower := strings.ToLower(scheme); lower != scheme {
		p.failf(p.schemes(), "the scheme %q is not written in lower case", scheme)
		return
	}

	if hint := foreign(scheme); hint != "" {
		p.failf(p.schemes(), "%s", hint)
		return
	}

	p.failf(p.schemes(), "the scheme %q is not known", scheme)
}
