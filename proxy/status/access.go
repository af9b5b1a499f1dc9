package status

import (
	"fmt"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/auth"
	"github.com/pillion-lb/pillion/proxy/limit"
)

// Access is the part of the state that describes access control: which gates
// are on, the state of the issuers' keys, and the limits.
type Access struct {
	Gates  []config.Gate `json:"gates"`            // only those that are on
	Keys   []auth.State  `json:"keys,omitempty"`   // one for each token issuer
	Limits *limit.States `json:"limits,omitempty"` // nil: none is on
}

// access writes the panel of access control: the gates that are on and the
// refused requests by reason, then keys and limits.
func (w *writer) access(s State) {
	a := s.Access
	if a == nil {
		return
	}

	var list []fact
	for _, g := range a.Gates {
		where := "all routes"
		if len(g.Routes) > 0 {
			where = strings.Join(g.Routes, ", ")
		}
		list = append(list, fact{g.Name, where})
	}
	for _, f := range counted(s.Traffic.Refused) {
		list = append(list, fact{"refused, " + strings.ReplaceAll(f.name, "_", " "), f.value})
	}
	w.facts("Access", list)
	w.keys(a.Keys)
	w.limits(a.Limits, s.At)
}

// keys writes the table of the token issuers' keys, or nothing if the list is
// empty.
func (w *writer) keys(list []auth.State) {
	if len(list) == 0 {
		return
	}

	w.put(`<section aria-labelledby="keys"><h2 id="keys">Keys for tokens</h2>` +
		`<table class="list"><thead><tr>` +
		`<th scope="col">Issuer</th><th scope="col">State</th><th scope="col" class="n">Keys</th>` +
		`<th scope="col">Fetched</th></tr></thead><tbody>`)
	for _, k := range list {
		class, state, fetched := markup("good"), "up", "never"
		switch {
		case k.Error != "":
			class, state = "bad", "failing"
		case k.Age == nil:
			class, state = "wait", "waiting"
		}
		if k.Age != nil {
			fetched = secondsAgo(*k.Age)
		}
		w.put(`<tr><th scope="row">{}</th><td class="{}">{}</td><td class="n">{}</td><td>{}</td></tr>`,
			k.Provider, class, state, k.Keys, fetched)
		w.more(k.Error)
	}
	w.put(`</tbody></table></section>`)
}

// limits writes the table of the limits and what they decided, and whether the
// instances count together. l may be nil.
func (w *writer) limits(l *limit.States, now time.Time) {
	if l == nil {
		return
	}

	w.put(`<section aria-labelledby="limits"><h2 id="limits">Limits</h2><table><thead><tr>` +
		`<th scope="col">Limit</th><th scope="col">By</th><th scope="col" class="n">Passed</th>` +
		`<th scope="col" class="n">Refused</th>` +
		`<th scope="col" class="n">Known now</th></tr></thead><tbody>`)
	for _, each := range l.Limits {
		refused := fmt.Sprint(each.Refused)
		if each.Dry {
			refused += " (dry)"
		}
		w.put(`<tr><th scope="row">{}</th><td>{}</td><td class="n">{}</td><td class="n">{}</td>`+
			`<td class="n">{}</td></tr>`,
			each.Name, each.By, each.Allowed, refused, fmt.Sprint(each.Known, " of ", each.Room))
	}
	if f := l.InFlight; f != nil {
		w.put(`<tr><th scope="row">{}</th><td>client</td><td class="n"></td><td class="n">{}</td>`+
			`<td class="n">{}</td></tr>`,
			fmt.Sprint("in flight, ", f.Most, " each"), f.Refused, f.Clients)
	}
	w.put(`</tbody></table>`)
	if l.Store != nil {
		class, text := countedWhere(l.Store, now)
		w.put(`<p class="{}">{}</p>`, class, text)
	}
	w.put(`</section>`)
}

// countedWhere returns a sentence about where the limits are counted: in this
// instance alone, or in the store that instances share. The class is its
// colour.
func countedWhere(s *limit.StoreState, now time.Time) (class markup, text string) {
	switch s.State {
	case limit.StoreNone:
		return "", "This instance counts for itself."
	case limit.StoreConnecting:
		return "wait", "The store has not answered yet: this instance counts for itself."
	case limit.StoreOn:
		return "good",
			fmt.Sprintf("All instances count in the store: %d requests answered, %d without an answer.",
				s.Results[limit.Answered.String()], unanswered(s))
	}

	text = "The store is off " + lasting(*s.Since,
		now) + ": this instance counts for itself. " + s.Error
	if s.Retry != nil {
		text += "; next try in " + age(now, *s.Retry)
	}

	return "bad", text
}

// unanswered returns how many requests the instance counted by itself, because
// the store did not answer.
func unanswered(s *limit.StoreState) (n int64) {
	for result, count := range s.Results {
		if result != limit.Answered.String() {
			n += count
		}
	}

	return n
}

// accessProblems lists what is wrong with the issuers' keys and with the store.
func accessProblems(s State) (list []problem) {
	if s.Access == nil {
		return nil
	}

	for _, k := range s.Access.Keys {
		switch {
		case k.Error != "" && k.Age == nil:
			list = append(list, problem{k.Provider, "gives no keys, its tokens get 503: " + k.Error})
		case k.Error != "":
			list = append(list, problem{k.Provider,
				"does not answer, its last keys are used for a day: " + k.Error})
		}
	}
	if l := s.Access.Limits; l != nil && l.Store != nil && l.Store.State == limit.StoreOff {
		list = append(list, problem{"LB_RATE_LIMIT_STORE",
			"does not answer, each instance counts for itself: " + l.Store.Error})
	}

	return list
}
