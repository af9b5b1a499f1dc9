package route

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// compiled returns the table of rules, which must be valid. A rule is written
// NAME=ITEMS. A "!" before the name puts the rule first.
func compiled(tb testing.TB, by By, rules ...string) *Table {
	tb.Helper()
	table, problems := Compile(rulesOf(rules...), by)
	for _, p := range problems {
		tb.Fatalf("%s", p)
	}

	return table
}

func rulesOf(texts ...string) []Rule {
	rules := make([]Rule, 0, len(texts))
	for _, text := range texts {
		name, items, _ := strings.Cut(text, "=")
		name, first := strings.CutPrefix(name, "!")
		rules = append(rules, Rule{
			Name: name, Variable: "LB_ROUTE__" + strings.ToUpper(name), Text: items, First: first, Action: "service " + name,
		})
	}

	return rules
}

// ask makes a request: "GET example.com/path?query", then fields "Name: value".
func ask(tb testing.TB, line string, fields ...string) *Request {
	tb.Helper()
	method, rest, ok := strings.Cut(line, " ")
	if !ok {
		method, rest = http.MethodGet, line
	}
	q := &Request{Method: method, Header: http.Header{}}
	rest, q.Query, _ = strings.Cut(rest, "?")
	q.Host, q.Path = rest, ""
	if slash := strings.IndexByte(rest, '/'); slash >= 0 {
		q.Host, q.Path = rest[:slash], rest[slash:]
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		q.Header.Add(name, value)
	}

	return q
}

// route returns the name of the route that a request finds, "" for none and
// "ambiguous" where the path can be read in two ways.
func (t *Table) route(q *Request) string {
	m, err := t.Find(q)
	switch {
	case err != nil:
		return "ambiguous"
	case m.Rule == NoRule:
		return ""
	}

	return t.rules[m.Rule].Name
}

// wantRoutes compares what requests find; expect maps "GET host/path" with
// fields behind " | " to routes.
func wantRoutes(t *testing.T, table *Table, expect map[string]string) {
	t.Helper()
	for line, want := range expect {
		parts := strings.Split(line, " | ")
		if got := table.route(ask(t, parts[0], parts[1:]...)); got != want {
			t.Errorf("%s: route %q, want %q", line, got, want)
		}
	}
}

// escapes decodes a path as a test of ours may: url.PathUnescape.
func decodedPath(path string) string {
	if p, err := url.PathUnescape(path); err == nil {
		return p
	}

	return path
}
