package status

import (
	"fmt"
	"strconv"

	"github.com/pillion-lb/pillion/proxy/backend"
)

// column is a column of the table of backends.
type column struct {
	title string
	sort  string // the key in orders; "": the table can't be sorted by it
	class markup
}

var columns = [...]column{
	{"Backend", "name", ""}, {"State", "problems", ""},
	{"Per s", "rate", "n"}, {"Errors", "errors", "n"},
	{"p50", "", "n wide"}, {"p95", "p95", "n"}, {"p99", "", "n wide"},
	{"In flight", "in-flight", "n wide"},
	{"Requests", "", "n wide"}, {"Weight", "", "n wide"}, {"Why", "", "wide why"},
}

// backends writes the table of backends, one row each. Above the table are
// links and a form that filter its rows.
func (w *writer) backends(s State, v view) {
	list := v.backends(s.Backends)
	w.put(`<section aria-labelledby="backends"><div class="bar"><h2 id="backends">Backends</h2>`)
	w.choice(fmt.Sprint("all ", len(s.Backends)), v.onlyBad(false).link(), !v.bad)
	w.choice("with problems", v.onlyBad(true).link(), v.bad)
	w.put(`<form method="get" role="search">`+
		`<label for="find">Find</label> `+
		`<input id="find" name="find" value="{}" autocomplete="off">`, v.find)
	if v.sort != "problems" {
		w.put(`<input type="hidden" name="sort" value="{}">`, v.sort)
	}
	if v.bad {
		w.put(`<input type="hidden" name="show" value="problems">`)
	}
	if v.refresh != refreshes[0] {
		w.put(`<input type="hidden" name="refresh" value="{}">`, v.refresh)
	}
	w.put(`<button>Find</button></form></div>`)

	w.put(`<table class="backends"><caption>Numbers of the last minute, of attempts</caption>` +
		`<thead><tr>`)
	for _, c := range columns {
		w.heading(c, v)
	}
	w.put(`</tr></thead><tbody>`)
	for _, b := range list {
		w.backend(b, s)
	}
	if len(list) == 0 {
		w.put(`<tr><td colspan="11">{}</td></tr>`, "No backend to show.")
	}
	w.put(`</tbody></table></section>`)
}

// heading writes the head of a column. It is a link that sorts the table by
// this column, if the column has a sort key.
func (w *writer) heading(c column, v view) {
	switch {
	case c.sort == "":
		w.put(`<th scope="col" class="{}">{}</th>`, c.class, c.title)
	case c.sort == v.sort && c.sort == "name":
		w.put(`<th scope="col" class="{}" aria-sort="ascending"><a href="{}">{}</a></th>`,
			c.class, v.link(), c.title)
	case c.sort == v.sort:
		w.put(`<th scope="col" class="{}" aria-sort="descending"><a href="{}">{}</a></th>`,
			c.class, v.link(), c.title)
	default:
		w.put(`<th scope="col" class="{}"><a href="{}">{}</a></th>`,
			c.class, v.sorted(c.sort).link(), c.title)
	}
}

// backend writes a backend's row. Details that have no room in a cell are in
// its title, which browsers show while the pointer is on it.
func (w *writer) backend(b backend.State, s State) {
	state, class := word(b)
	r := recent(b)
	w.put(`<tr><th scope="row" title="{}">{}</th><td class="{}">{}</td><td class="n">{}</td>`+
		`<td class="n">{}</td>`,
		where(b), label(b), class, state, rate(r.Rate), percent(r.ErrorShare))
	w.put(`<td class="n wide">{}</td><td class="n">{}</td><td class="n wide">{}</td>`,
		seconds(r.P50), seconds(r.P95), seconds(r.P99))
	reason := why(b, s.At)
	w.put(`<td class="n wide">{}</td><td class="n wide">{}</td><td class="n wide">{}</td>`+
		`<td class="wide why" title="{}">{}</td></tr>`,
		b.InFlight, b.Requests, b.Weight, reason+lastProbe(b, s), reason)
}

// label returns a backend's name. With several services, the service's name is
// in front of it.
func label(b backend.State) string {
	if b.Service != "" {
		return b.Service + " / " + b.Name
	}

	return b.Name
}

// where returns a backend's address, and the item of LB_BACKENDS that it comes
// from.
func where(b backend.State) string {
	text := b.Address
	if b.Source != "" {
		text += " from " + b.Source
	}

	return text
}

// lastProbe returns a text about a backend's last probe, which is added to a
// title. It is "" if the backend was never probed.
func lastProbe(b backend.State, s State) string {
	p := b.LastProbe
	if p.At.IsZero() {
		return ""
	}

	word := "failed"
	if p.Healthy {
		word = "passed"
	}

	return " (last probe " + ago(p.At, s.At) + " " + word + ": " + p.Result +
		", ejections in a row: " + strconv.Itoa(b.Ejections) + ")"
}
