package status

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/proxy/cache"
)

// panels writes a panel for each feature that is on, side by side. To add a
// feature, add its line here; its method writes nothing if the feature is off.
func (w *writer) panels(s State) {
	w.put(`<div class="panels">`)
	w.events(s)
	w.settings(s)
	w.sources(s)
	w.access(s)
	w.routes(s)
	w.facts("Session cookies", cookies(s.Traffic.Sessions))
	w.facts("Queue and retries", waiting(s))
	w.facts("Cache", cached(s.Cache))
	w.put(`</div>`)
}

// fact is a row of a panel.
type fact struct{ name, value string }

// facts writes a panel of names and values, or nothing if the list is empty.
func (w *writer) facts(title string, list []fact) {
	if len(list) == 0 {
		return
	}

	w.put(`<section><h2>{}</h2><dl>`, title)
	for _, f := range list {
		w.put(`<div><dt>{}</dt><dd>{}</dd></div>`, f.name, f.value)
	}
	w.put(`</dl></section>`)
}

// counted returns counters as facts, in the order of their names.
func counted(counts map[string]int64) (list []fact) {
	for _, word := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, fact{word, fmt.Sprint(counts[word])})
	}

	return list
}

// verdicts are words on session cookies that do not say by themselves what
// they mean.
var verdicts = map[string]string{
	"none":    "no cookie",
	"unknown": "its backend is gone",
	"moved":   "to another backend",
	"expired": "LB_AFFINITY_TTL",
	"idle":    "LB_AFFINITY_IDLE",
	"forged":  "no key of this service signed it",
}

// cookies returns how many requests came with which session cookie.
func cookies(counts map[string]int64) []fact {
	list := counted(counts)
	for i, f := range list {
		if means := verdicts[f.name]; means != "" {
			list[i].name += " (" + means + ")"
		}
	}

	return list
}

// waiting returns the facts about the queue and the retries of each service.
func waiting(s State) (list []fact) {
	for _, of := range s.Traffic.Services {
		left := fmt.Sprintf("%.0f", of.RetryBudget)
		switch {
		case of.Name != "" && of.Limit > 0: // one row for each of many services
			list = append(list, fact{of.Name, fmt.Sprintf("%d waiting for %d places a backend, "+
				"%s retries left", of.Waiting, of.Limit, left)})
			continue
		case of.Name != "":
			list = append(list, fact{of.Name, left + " retries left"})
			continue
		case of.Limit > 0:
			list = append(list, fact{"waiting for a place", fmt.Sprint(of.Waiting)},
				fact{"places for each backend", fmt.Sprint(of.Limit)})
		}
		list = append(list, fact{"retries left in the budget", left})
	}

	for _, f := range counted(s.Traffic.Retries) {
		list = append(list, fact{"retries: " + strings.ReplaceAll(f.name, "_", " "), f.value})
	}
	for _, f := range counted(s.Traffic.Ejections) {
		list = append(list, fact{"ejections of " + f.name, f.value})
	}

	return list
}

// cached returns the facts about the cache.
func cached(c *cache.Stats) []fact {
	if c == nil {
		return nil
	}

	list := []fact{
		{"stored answers", fmt.Sprint(c.Objects)},
		{"memory", fmt.Sprintf("%.1f of %.1f MiB", float64(c.Bytes)/(1<<20), float64(c.Most)/(1<<20))},
	}
	if share, known := c.FromMemory(); known {
		list = append(list, fact{"requests answered from memory", percent(share)})
	}

	return list
}

// events writes the events, the newest first.
func (w *writer) events(s State) {
	w.put(`<section aria-labelledby="events"><h2 id="events">Events</h2>`)
	if len(s.Events) == 0 {
		w.put(`<p>Nothing happened yet.</p></section>`)
		return
	}

	w.put(`<ol class="scroll events" tabindex="0" aria-labelledby="events">`)
	for _, e := range s.Events {
		class := markup("")
		switch e.Level {
		case "WARN":
			class = "wait"
		case "ERROR":
			class = "bad"
		}
		w.put(`<li><time datetime="{}">{}</time> <b class="{}">{}</b> {}`,
			e.At.UTC().Format(time.RFC3339), e.At.UTC().Format("15:04:05"), class, e.Message, e.Details)
	}
	w.put(`</ol></section>`)
}

// settings writes the variables that differ from their defaults, in the form
// NAME=value.
func (w *writer) settings(s State) {
	w.put(`<section aria-labelledby="settings">` +
		`<h2 id="settings">Settings that differ from their default</h2>`)
	if len(s.Settings) == 0 {
		w.put(`<p>None.</p></section>`)
		return
	}

	w.put(`<pre class="scroll" tabindex="0" role="group" aria-labelledby="settings">`)
	for _, set := range s.Settings {
		w.put("{}\n", exact(set.Line))
	}
	w.put(`</pre></section>`)
}

// sources writes the table of the sources of backends.
func (w *writer) sources(s State) {
	w.put(`<section aria-labelledby="sources"><h2 id="sources">Sources</h2>` +
		`<table class="list"><thead><tr>` +
		`<th scope="col">Source</th><th scope="col">State</th><th scope="col" class="n">Backends</th>` +
		`<th scope="col">Answered</th></tr></thead><tbody>`)
	for _, source := range s.Sources {
		class, state, answered := markup("good"), "up", "never"
		switch {
		case source.Error != "":
			class, state = "bad", "failing"
		case source.Age == nil:
			class, state = "wait", "waiting"
		}
		if source.Age != nil {
			answered = secondsAgo(*source.Age)
		}

		w.put(`<tr><th scope="row" title="{}">{}</th><td class="{}">{}</td><td class="n">{}</td>`+
			`<td>{}</td></tr>`,
			source.Kind, source.label(), class, state, source.Backends, answered)
		w.more(source.Error)
	}
	w.put(`</tbody></table></section>`)
}

// more writes a line about the row above, nothing without one. An error has
// more room there than in a column.
func (w *writer) more(text string) {
	if text != "" {
		w.put(`<tr class="more"><td colspan="4" class="bad">{}</td></tr>`, text)
	}
}

// routes writes the table of the routes' items, or nothing if there is no
// route.
func (w *writer) routes(s State) {
	if len(s.Routes) == 0 {
		return
	}

	w.put(`<section class="whole" aria-labelledby="routes"><h2 id="routes">Routes</h2><table>` +
		`<thead><tr><th scope="col">Host and path</th><th scope="col">Conditions</th>` +
		`<th scope="col" class="n">Share</th><th scope="col" class="narrow">Route</th>` +
		`<th scope="col">Action</th>` +
		`<th scope="col" class="n">Requests</th></tr></thead><tbody>`)
	for _, r := range s.Routes {
		w.put(`<tr><th scope="row">{}</th><td>{}</td><td class="n">{}</td><td class="narrow">{}</td>`+
			`<td>{}</td><td class="n">{}</td></tr>`,
			r.Mark+" "+r.Host+" "+r.Path, r.Conditions, r.Share, r.Row.Route, r.Action, r.Requests)
	}
	w.put(`</tbody></table></section>`)
}
