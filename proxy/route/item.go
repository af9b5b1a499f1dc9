package route

import (
	"fmt"
	"strings"
)

// Item is one condition of a route: a request that meets all parts of it
// belongs to the route. The zero value takes every request.
type Item struct {
	Text string // as written, without blanks around it

	host   string // in lower case, without port and final dot; "" is every host
	wild   bool   // host is what follows "*."
	path   string // in normal form; without "/*" if below is set, so "" is the root
	below  bool   // everything below path counts too
	depth  int    // segments of path
	method []string
	fields []field // of headers and cookies
	query  []field
	share  int // in hundredths of a percent; noShare without one

	from, to int // the numbers that the share takes: from <= number < to

	rule  int    // index of the rule it belongs to
	place int    // in the table, from 0
	name  string // of the route
	first bool   // before the items of all routes that are not
	equal bool   // an item of another route is equally specific, so the names decide
}

// noShare is the share of an item without a condition on it.
const noShare = -1

// Prefix reports whether the item ends in "/*", so that a path has a rest.
func (i *Item) Prefix() bool { return i.below }

// Path returns the item's path without a final "/*".
func (i *Item) Path() string { return i.path }

// Place returns the item's index in the table, from 0.
func (i *Item) Place() int { return i.place }

// HostText returns the item's host as a user would write it, or "" for every
// host.
func (i *Item) HostText() string {
	if i.wild {
		return "*." + i.host
	}

	return i.host
}

// PathText returns the item's path as a user would write it.
func (i *Item) PathText() string {
	path := strings.ReplaceAll(i.path, "*", "%2A")
	if i.below {
		return path + "/*"
	}

	return path
}

// Conditions returns the conditions after the item's "?", without the share, in
// a fixed order. Items with the same conditions have the same text.
func (i *Item) Conditions() string {
	var parts []string
	if len(i.method) > 0 {
		parts = append(parts, "method="+joinWords(i.method))
	}
	for _, f := range i.fields {
		parts = append(parts, f.String())
	}
	for _, f := range i.query {
		parts = append(parts, f.String())
	}

	return strings.Join(parts, "&")
}

// ShareText returns the item's share as a user would write it, or "" without
// one.
func (i *Item) ShareText() string {
	if i.share == noShare {
		return ""
	}

	return percent(i.share)
}

// percent returns hundredths of a percent as text.
func percent(hundredths int) string {
	s := fmt.Sprintf("%d.%02d", hundredths/100, hundredths%100)

	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") + "%"
}

// condition returns the whole item except its share, in normal form. Items with
// the same condition divide one range of shares. Two such items without a share
// are the same item.
func (i *Item) condition() string {
	return i.HostText() + i.PathText() + "?" + i.Conditions()
}

// compare orders items by precedence: the more specific item comes first. As in
// the Gateway API (HTTPRoute, "matches"), the order is: host, exact path,
// longer prefix, method, more fields, more query parameters.
func compare(a, b *Item) int {
	for _, d := range [...]int{
		before(a.first, b.first),
		a.hostRank() - b.hostRank(),
		len(b.host) - len(a.host),
		strings.Compare(a.host, b.host),
		before(!a.below, !b.below),
		len(b.path) - len(a.path),
		strings.Compare(a.path, b.path),
		specific(a, b),
		strings.Compare(a.name, b.name),
		strings.Compare(a.condition(), b.condition()),
		a.share - b.share,
	} {
		if d != 0 {
			return d
		}
	}

	return 0
}

// specific orders items with one host and one path.
func specific(a, b *Item) int {
	for _, d := range [...]int{
		before(len(a.method) > 0, len(b.method) > 0),
		len(b.fields) - len(a.fields),
		len(b.query) - len(a.query),
		before(a.share != noShare, b.share != noShare),
	} {
		if d != 0 {
			return d
		}
	}

	return 0
}

// before orders an item that has a part before one that does not.
func before(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}

	return 1
}

// hostRank returns the order of the kinds of hosts: exact, below a name, every
// host.
func (i *Item) hostRank() int {
	switch {
	case i.host == "":
		return 2
	case i.wild:
		return 1
	}

	return 0
}
