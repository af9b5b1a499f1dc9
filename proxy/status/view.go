package status

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/pillion-lb/pillion/proxy/backend"
)

// view is what the query of the page's URL asks for.
type view struct {
	sort    string // a key of orders
	bad     bool   // only backends with a problem
	find    string // only backends with this in name, address or source
	refresh int    // seconds; 0 is off
}

// refreshes are the reload intervals that can be chosen, in seconds. 0 is off.
// The first is the default.
var refreshes = [...]int{5, 30, 0}

// readView parses the query of a target. A value that is missing or unknown
// becomes the default.
func readView(target string) view {
	_, query, _ := strings.Cut(target, "?")
	values, _ := url.ParseQuery(query)
	v := view{sort: "problems", bad: values.Get("show") == "problems",
		find: cut(values.Get("find"), 100), refresh: refreshes[0]}
	if sort := values.Get("sort"); orders(sort) != nil {
		v.sort = sort
	}
	for _, seconds := range refreshes {
		if values.Get("refresh") == strconv.Itoa(seconds) {
			v.refresh = seconds
		}
	}

	return v
}

// query returns the view as a query, or "" for the default view.
func (v view) query() string {
	values := url.Values{}
	if v.sort != "problems" {
		values.Set("sort", v.sort)
	}
	if v.bad {
		values.Set("show", "problems")
	}
	if v.find != "" {
		values.Set("find", v.find)
	}
	if v.refresh != refreshes[0] {
		values.Set("refresh", strconv.Itoa(v.refresh))
	}

	return values.Encode()
}

// link returns the relative URL of the view. For the default view, that is ".",
// the page's own path.
func (v view) link() string {
	if q := v.query(); q != "" {
		return "?" + q
	}

	return "."
}

func (v view) sorted(by string) view  { v.sort = by; return v }
func (v view) every(seconds int) view { v.refresh = seconds; return v }
func (v view) onlyBad(bad bool) view  { v.bad = bad; return v }
func (v view) shows(b backend.State) bool {
	if v.bad && severity(b) == 0 {
		return false
	}

	text := strings.ToLower(v.find)
	for _, part := range []string{b.Name, b.Address, b.Source, b.Service} {
		if strings.Contains(strings.ToLower(part), text) {
			return true
		}
	}

	return false
}

// orders returns the function that compares backends for a sort key. It returns
// nil for an unknown key.
func orders(by string) func(a, b backend.State) int {
	number := func(of func(backend.State) float64) func(a, b backend.State) int {
		return func(a, b backend.State) int {
			switch x, y := of(a), of(b); {
			case x > y:
				return -1
			case x < y:
				return 1
			}
			return 0
		}
	}
	switch by {
	case "problems":
		return number(func(b backend.State) float64 { return float64(severity(b)) })
	case "name":
		return func(a, b backend.State) int { return natural(a.Name, b.Name) }
	case "rate":
		return number(func(b backend.State) float64 { return recent(b).Rate })
	case "errors":
		return number(func(b backend.State) float64 { return recent(b).ErrorShare })
	case "p95":
		return number(func(b backend.State) float64 { return recent(b).P95 })
	case "in-flight":
		return number(func(b backend.State) float64 { return float64(b.InFlight) })
	}

	return nil
}

// backends returns the backends that the view shows, in its order. Backends
// that compare as equal are in the natural order of their names.
func (v view) backends(all []backend.State) (list []backend.State) {
	for _, b := range all {
		if v.shows(b) {
			list = append(list, b)
		}
	}

	slices.SortStableFunc(list, orders("name"))
	slices.SortStableFunc(list, orders(v.sort))

	return list
}

// natural compares names, and the digits in them as numbers: demo-2 comes
// before demo-10.
func natural(a, b string) int {
	for a != "" && b != "" {
		x, y := digits(a), digits(b)
		if x == 0 || y == 0 {
			if a[0] != b[0] {
				return int(a[0]) - int(b[0])
			}
			a, b = a[1:], b[1:]
			continue
		}

		p, q := strings.TrimLeft(a[:x], "0"), strings.TrimLeft(b[:y], "0")
		if len(p) != len(q) {
			return len(p) - len(q)
		}
		if c := strings.Compare(p, q); c != 0 {
			return c
		}
		a, b = a[x:], b[y:]
	}

	return len(a) - len(b)
}

// digits returns how many digits a text begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}

	return n
}
