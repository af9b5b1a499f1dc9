package route

import (
	"bytes"
	"errors"
	"slices"
	"strings"
)

// Rule is one route of the environment.
type Rule struct {
	Name     string // in small letters
	Variable string // that Text comes from
	Text     string // its items, see the package's documentation
	First    bool   // before all routes without it (LB_ROUTE_FIRST)
	Rest     string // the variable whose target takes the rest of the path, so each item needs one
	Action   string // what is done with a request, in words
}

// Table holds the items of all rules. It is never changed, so it is safe for
// concurrent use.
type Table struct {
	rules []Rule
	by    By
	items []*Item // by precedence
	trees [2]tree // of the rules that are first, and of the others
}

// tree holds the hosts of one half of a table, each with its paths.
type tree struct {
	exact   map[string]*node
	below   map[string]*node // by the part after "*."
	every   map[string]*node // at most one, for every host
	longest int              // of the keys of below
}

// node is a segment of paths.
type node struct {
	parent   *node
	children map[string]*node
	exact    []*Item // whose path ends here
	below    []*Item // that take this path and everything below it
}

// NoRule stands for the rule of a request that no item takes.
const NoRule = -1

// Match is the item that takes a request.
type Match struct {
	Rule int   // index of the rule given to Compile, or NoRule
	Item *Item // nil without a rule
}

// ErrAmbiguous is the error for a path that servers may read as paths of
// different routes.
var ErrAmbiguous = errors.New("the path can be read in two ways")

// add puts an item into the tree.
func (t *tree) add(i *Item) {
	var n *node
	switch {
	case i.host == "":
		n = root(&t.every, "")
	case i.wild:
		n = root(&t.below, i.host)
		t.longest = max(t.longest, len(i.host))
	default:
		n = root(&t.exact, i.host)
	}

	if i.path != "" {
		for segment := range strings.SplitSeq(i.path[1:], "/") {
			n = n.child(segment)
		}
	}
	if i.below {
		n.below = append(n.below, i)
	} else {
		n.exact = append(n.exact, i)
	}
}

// root finds or makes the root of a host.
func root(roots *map[string]*node, host string) *node {
	if *roots == nil {
		*roots = map[string]*node{}
	}
	n := (*roots)[host]
	if n == nil {
		n = &node{}
		(*roots)[host] = n
	}

	return n
}

// child finds or makes the node of a segment.
func (n *node) child(segment string) *node {
	c := n.children[segment]
	if c == nil {
		if n.children == nil {
			n.children = map[string]*node{}
		}
		c = &node{parent: n}
		n.children[segment] = c
	}

	return c
}

// Find returns the item that takes a request. It allocates nothing once the
// memory of q is large enough. The only error is ErrAmbiguous.
func (t *Table) Find(q *Request) (Match, error) {
	q.prepare()
	t.fits(q)
	found := t.look(q, q.path)

	relevant := leniencies(q.path)
	for r := relevant; r != 0; r = (r - 1) & relevant { // each set of leniencies
		q.other = read(q.other[:0], q.path, r)
		if t.look(q, q.other).Rule != found.Rule {
			return found, ErrAmbiguous
		}
	}

	return found, nil
}

// fits collects the roots of the hosts that match the request's.
func (t *Table) fits(q *Request) {
	q.roots = q.roots[:0]
	for i := range t.trees {
		tree := &t.trees[i]
		if n := tree.exact[string(q.host)]; n != nil {
			q.roots = append(q.roots, n)
		}
		q.roots = tree.wildcards(q.roots, q.host)
		if n := tree.every[""]; n != nil {
			q.roots = append(q.roots, n)
		}
	}
}

// wildcards appends the roots of "*." hosts, the longest first.
func (t *tree) wildcards(roots []*node, host []byte) []*node {
	if t.longest == 0 {
		return roots
	}
	from := max(0, len(host)-t.longest-1) // the dot before the longest
	for {
		dot := bytes.IndexByte(host[from:], '.')
		if dot < 0 {
			return roots
		}
		from += dot + 1
		if n := t.below[string(host[from:])]; n != nil && from > 1 {
			roots = append(roots, n)
		}
	}
}

// look finds the item for one reading of the path.
func (t *Table) look(q *Request, path []byte) Match {
	for _, root := range q.roots {
		n, whole := root.walk(path)
		if i := t.choose(q, n.exact); whole && i != nil {
			return Match{i.rule, i}
		}
		for ; n != nil; n = n.parent {
			if i := t.choose(q, n.below); i != nil {
				return Match{i.rule, i}
			}
		}
	}

	return Match{Rule: NoRule}
}

// walk follows the segments of a path while there are nodes for them. It
// reports whether it reached the end of the path.
func (n *node) walk(path []byte) (last *node, whole bool) {
	if path[0] != '/' {
		return n, false // "*", which is not a path (RFC 9112 section 3.2.4)
	}
	for rest := path; ; {
		rest = rest[1:]
		end := bytes.IndexByte(rest, '/')
		if end < 0 {
			end = len(rest)
		}
		child := n.children[string(rest[:end])]
		if child == nil {
			return n, false
		}
		n, rest = child, rest[end:]
		if len(rest) == 0 {
			return n, true
		}
	}
}

// choose returns the first item whose conditions hold, or nil. All of the items
// have one path.
func (t *Table) choose(q *Request, items []*Item) *Item {
	for _, i := range items {
		if t.takes(i, q) {
			return i
		}
	}

	return nil
}

// takes reports whether the conditions of an item hold. Its host and path match
// already.
func (t *Table) takes(i *Item, q *Request) bool {
	if len(i.method) > 0 && !slices.Contains(i.method, q.Method) {
		return false
	}
	for f := range i.fields {
		if !i.fields[f].holds(q) {
			return false
		}
	}
	for f := range i.query {
		if !i.query[f].holds(q) {
			return false
		}
	}
	if i.share == noShare {
		return true
	}
	n := q.number(t.by)

	return i.from <= n && n < i.to
}

// Rest returns the part of a received path after the item's prefix, from its
// slash on. It is "" if nothing follows, and for an exact path.
func (m Match) Rest(path string) string {
	if m.Item == nil || !m.Item.below {
		return ""
	}
	at := 0
	for range m.Item.depth + 1 {
		next := strings.IndexByte(path[at:], '/')
		if next < 0 {
			return ""
		}
		at += next + 1
	}

	return path[at-1:]
}

// Rules returns the number of rules that were given to Compile.
func (t *Table) Rules() int { return len(t.rules) }

// Shares reports whether any item has a share.
func (t *Table) Shares() bool {
	return slices.ContainsFunc(t.items, func(i *Item) bool { return i.share != noShare })
}

// ByPath reports whether any item takes only some paths.
func (t *Table) ByPath() bool {
	return slices.ContainsFunc(t.items, func(i *Item) bool { return i.path != "" || !i.below })
}

// ByMethod reports whether any item takes only some methods.
func (t *Table) ByMethod() bool {
	return slices.ContainsFunc(t.items, func(i *Item) bool { return len(i.method) > 0 })
}
