package route

import (
	"fmt"
	"strings"
)

// Refusal is the reason why a more specific item does not take a request.
type Refusal struct {
	Number int // of the item in the table, from 1
	Row    Row
	Reason string
}

// Explanation shows how a request finds its item.
type Explanation struct {
	Match
	Number  int // of the item in the table, from 1; 0 without one
	Row     Row
	Refused []Refusal // in the order of the table
	Other   string    // a reading of the path that leads to another route
	Err     error     // ErrAmbiguous
}

// Explain returns which item takes a request, and why each item before it in
// the table does not.
func (t *Table) Explain(q *Request) Explanation {
	var e Explanation
	e.Match, e.Err = t.Find(q)
	if e.Err != nil {
		e.Other = string(q.other)
	}

	rows := t.Rows()
	for n, i := range t.items {
		if i == e.Item {
			e.Number, e.Row = n+1, rows[n]
			break
		}
		e.Refused = append(e.Refused, Refusal{n + 1, rows[n], t.reason(i, q)})
	}

	return e
}

// reason returns the part of an item that does not hold for a request.
func (t *Table) reason(i *Item, q *Request) string {
	host, path := string(q.host), string(q.path)
	switch {
	case i.host != "" && !i.takesHost(host):
		return fmt.Sprintf("the host %q is not %s", host, i.HostText())
	case !i.takesPath(path):
		return fmt.Sprintf("the path %q is not %s", path, i.PathText())
	case len(i.method) > 0 && !overlap(i.method, []string{q.Method}):
		return fmt.Sprintf("the method %s is not %s", q.Method, strings.Join(i.method, " or "))
	}

	for _, fields := range [][]field{i.fields, i.query} {
		for f := range fields {
			if !fields[f].holds(q) {
				return "no " + fields[f].String()
			}
		}
	}
	switch n := q.number(t.by); {
	case i.share == 0:
		return "its share is 0%"
	case n == none:
		return "the request has nothing that a share is drawn by"
	case n < i.from || n >= i.to:
		return fmt.Sprintf("the number %04d is not in the share, from %04d to %04d", n, i.from, i.to-1)
	}

	return "another item of its kind comes first"
}

func (i *Item) takesHost(host string) bool {
	if i.wild {
		below, ok := strings.CutSuffix(host, "."+i.host)
		return ok && below != ""
	}

	return host == i.host
}

// takesPath reports whether a path in normal form matches the item's.
func (i *Item) takesPath(path string) bool {
	if !i.below {
		return path == i.path
	}
	rest, ok := strings.CutPrefix(path, i.path)

	return ok && (rest == "" || rest[0] == '/')
}
