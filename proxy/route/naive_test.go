package route

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// candidate is an item as the contract says it, without the table's trees.
type candidate struct {
	route, host, path string
	first             bool
	method            []string
	headers, queries  []string // NAME or NAME=value
}

func (c candidate) text() string {
	conditions := slices.Clone(c.headers)
	conditions = append(conditions, c.queries...)
	if len(c.method) > 0 {
		conditions = append(conditions, "method="+strings.Join(c.method, "|"))
	}
	rand.Shuffle(len(conditions), func(i, j int) { conditions[i], conditions[j] = conditions[j], conditions[i] })
	text := c.host + c.path
	if len(conditions) > 0 {
		text += "?" + strings.Join(conditions, "&")
	}

	return text
}

// takes is section by section what a condition means.
func (c candidate) takes(q *Request) bool {
	host := strings.TrimSuffix(strings.ToLower(strings.Split(q.Host, ":")[0]), ".")
	if suffix, wild := strings.CutPrefix(c.host, "*"); wild {
		if !strings.HasSuffix(host, suffix) || host == suffix[1:] {
			return false
		}
	} else if c.host != "" && c.host != host {
		return false
	}

	if prefix, below := strings.CutSuffix(c.path, "/*"); below {
		if q.Path != prefix && !strings.HasPrefix(q.Path, prefix+"/") {
			return false
		}
	} else if c.path != "" && c.path != q.Path {
		return false
	}

	if len(c.method) > 0 && !slices.Contains(c.method, q.Method) {
		return false
	}
	for _, h := range c.headers {
		name, value, given := strings.Cut(strings.TrimPrefix(h, "header."), "=")
		lines := q.Header.Values(name)
		if len(lines) == 0 || given && !slices.Contains(lines, value) {
			return false
		}
	}
	for _, p := range c.queries {
		pair := strings.TrimPrefix(p, "query.")
		if !slices.Contains(strings.Split(q.Query, "&"), pair) {
			return false
		}
	}

	return true
}

// rank is the precedence as text: the smaller is more specific.
func (c candidate) rank() string {
	hostKind := 0
	if c.host == "" {
		hostKind = 2
	} else if c.host[0] == '*' {
		hostKind = 1
	}
	_, below := strings.CutSuffix(c.path, "/*")
	below = below || c.path == ""
	flag := func(b bool) int {
		if b {
			return 0
		}

		return 1
	}

	return fmt.Sprint(flag(c.first), hostKind, 999-len(c.host), flag(!below), 999-len(c.path),
		flag(len(c.method) > 0), 9-len(c.headers), 9-len(c.queries), c.route)
}

// one is a random element.
func one[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func randomCandidate(r *rand.Rand, route string, first bool) candidate {
	c := candidate{route: route, first: first}
	c.host = one(r, "", "", "a.com", "b.a.com", "*.a.com", "*.b.a.com")
	c.path = one(r, "/*", "/x", "/x/*", "/x/y", "/x/y/*", "/", "/x/", "/xy/*")
	if r.IntN(3) == 0 {
		c.method = one(r, []string{"GET"}, []string{"POST", "PUT"})
	}
	for _, h := range []string{"header.a", "header.b=1", "header.c=2"} {
		if r.IntN(4) == 0 {
			c.headers = append(c.headers, h)
		}
	}
	if r.IntN(5) == 0 {
		c.queries = append(c.queries, "query.q=1")
	}

	return c
}

func randomRequest(r *rand.Rand) *Request {
	q := &Request{
		Method: one(r, "GET", "POST", "HEAD"),
		Host:   one(r, "a.com", "A.com:80", "b.a.com.", "c.b.a.com", "other"),
		Path:   one(r, "/", "/x", "/x/", "/x/y", "/x/y/z", "/xy", "/z"),
		Query:  one(r, "", "q=1", "q=2", "p=1&q=1"),
		Header: http.Header{},
	}
	for _, name := range []string{"A", "B", "C"} {
		if r.IntN(2) == 0 {
			q.Header.Add(name, one(r, "1", "2"))
		}
	}

	return q
}

// The compiled table and a plain reading of the precedence choose the same, in
// whatever order the routes are given.
func TestTable_ChoosesAsAPlainEvaluationDoes(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var all []candidate
		rules := map[string]Rule{}
		said := map[string]bool{}
		for n := range 1 + r.IntN(12) {
			c := randomCandidate(r, string(rune('a'+r.IntN(4))), false)
			c.first = c.route == "d"
			sorted := fmt.Sprint(c.host, c.path, c.method, c.headers, c.queries)
			if said[sorted] {
				continue
			}
			said[sorted] = true
			all = append(all, c)
			rule := rules[c.route]
			rules[c.route] = Rule{Name: c.route, Variable: fmt.Sprint("V", n), First: c.first, Text: rule.Text + ";" + c.text()}
		}
		slices.SortStableFunc(all, func(a, b candidate) int { return strings.Compare(a.rank(), b.rank()) })

		var list []Rule
		for _, rule := range rules {
			list = append(list, rule) // in the random order of maps
		}
		table, problems := Compile(list, ByRequest)
		if len(problems) > 0 {
			t.Fatalf("%v", problems)
		}
		for range 20 {
			q := randomRequest(r)
			want := ""
			if n := slices.IndexFunc(all, func(c candidate) bool { return c.takes(q) }); n >= 0 {
				want = all[n].route
			}
			if got := table.route(q); got != want {
				t.Fatalf("%s %s%s?%s %v: route %q, want %q of %v", q.Method, q.Host, q.Path, q.Query, q.Header, got, want, list)
			}
		}
	}
}
