package discovery

import (
	"fmt"
	"strings"

	"github.com/pillion-lb/pillion/config"
)

const (
	variable = "LB_BACKENDS"
	example  = "LB_BACKENDS='http://10.0.0.7:8080;https://app.example.com?name=blue&weight=3'"
)

// grammar is what the items of one list may be.
type grammar struct {
	attribute bool // the list is an attribute's value: no nested attributes, no demo, no unusable addresses
}

// schemes are the ones that may stand in the list.
func (g grammar) schemes() string {
	if g.attribute {
		return "http, https, h2c, h2, dns, srv, run"
	}
	return "http, https, h2c, h2, dns, srv, run, metadata, demo"
}

// Parse reads the items of LB_BACKENDS, each [scheme://]authority[?key=value&…]. It returns every problem there is;
// with problems the targets are incomplete. General URL parsers are of no use here: they reject ":8081" and accept
// paths, user info and odd spellings that would be dropped or read differently further on.
func Parse(items []string) ([]Target, []config.Problem) {
	return grammar{}.parse(items)
}

func (g grammar) parse(items []string) ([]Target, []config.Problem) {
	var targets []Target
	var problems []config.Problem
	named := map[string]int{}
	for i, item := range items {
		p := &parser{grammar: g, number: i + 1, item: strings.TrimSpace(item)}
		t := p.target()
		if first := named[t.Template.Name]; first != 0 && t.Template.Name != "" && len(p.problems) == 0 {
			p.failf("another name with ?name=", "the name %q is that of item %d already", t.Template.Name, first)
		}
		problems = append(problems, p.problems...)
		if len(p.problems) == 0 {
			named[t.Template.Name] = p.number
			targets = append(targets, t)
		}
	}
	return targets, problems
}

// parser reads one item and collects what is wrong with it.
type parser struct {
	grammar
	number   int
	item     string
	problems []config.Problem
}

// failf records a problem: what is accepted, then what is wrong.
func (p *parser) failf(accepted, format string, args ...any) {
	p.problems = append(p.problems, config.Problem{
		Variable: variable,
		Given:    masked(p.item),
		Reason:   fmt.Sprintf("item %d %q: ", p.number, masked(p.item)) + fmt.Sprintf(format, args...),
		Accepted: accepted,
		Example:  example,
	})
}

// masked is an item as it may be printed: without user info and without values, short. User info is whatever stands
// before the last "@", because an unescaped password may hold a question mark.
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
	if !ok {
		return Target{}
	}
	rest, query, asked := strings.Cut(item, "?")
	scheme, authority, given := strings.Cut(rest, "://")
	if !given {
		scheme, authority = "", rest
	}
	t := Target{Item: p.item, Written: !p.attribute}
	t.Template = Backend{Protocol: config.Auto, Weight: 1, Source: p.item, Guarded: p.attribute}
	if !p.dispatch(scheme, authority, &t) {
		return t
	}
	if asked {
		p.keys(query, &t)
	}
	p.finish(&t)
	return t
}

// unescaped replaces %3B and %2C, which stand for the list's own separators; nothing else can be escaped.
func (p *parser) unescaped() (string, bool) {
	for _, r := range p.item {
		switch {
		case r < ' ' || r == 0x7f:
			p.failf("printable characters", "it contains a control character")
			return "", false
		case r > 0x7f:
			p.failf("ASCII; an international host name in its xn-- form", "it contains the character %q", r)
			return "", false
		case r == ' ':
			p.failf("no blanks inside an item; items are separated by ';'", "it contains a blank")
			return "", false
		}
	}
	if strings.Contains(p.item, "@") { // before anything is read of it: no other message may show a part of it
		p.failf("host and port only", "user info is refused: credentials do not belong into a target")
		return "", false
	}
	item := strings.NewReplacer("%3B", ";", "%3b", ";", "%2C", ",", "%2c", ",").Replace(p.item)
	if strings.Contains(item, "%") {
		p.failf("only %3B and %2C", "it contains a percent sign")
		return "", false
	}
	return item, true
}

// dispatch reads the authority by its scheme and reports whether the item is of a known kind at all.
func (p *parser) dispatch(scheme, authority string, t *Target) bool {
	switch scheme {
	case "", "http", "https", "h2c", "h2":
		p.fixed(scheme, authority, t)
	case "dns":
		p.dns(authority, t)
	case "srv":
		p.srv(authority, t)
	case "run":
		p.run(authority, t)
	case "metadata", "demo":
		if p.attribute {
			p.failf(p.schemes(), "%s:// may not stand in an attribute", scheme)
			return false
		}
		if scheme == "demo" {
			p.demo(authority, t)
		} else {
			p.metadata(authority, t)
		}
	case "run+list", "gce":
		p.failf(p.schemes(), "%s:// is not supported in this version", scheme)
		return false
	default:
		p.unknownScheme(scheme)
		return false
	}
	return true
}

func (p *parser) unknownScheme(scheme string) {
	if lower := strings.ToLower(scheme); lower != scheme {
		p.failf(p.schemes(), "the scheme %q is not written in lower case", scheme)
		return
	}
	p.failf(p.schemes(), "the scheme %q is not known", scheme)
}
