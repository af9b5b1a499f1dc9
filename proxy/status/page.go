package status

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// html serves the page.
func (h *Handler) html(w http.ResponseWriter, r *http.Request) {
	v := readView(r.RequestURI)
	sum := sha256.Sum256([]byte(style))
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+
		base64.StdEncoding.EncodeToString(sum[:])+
		"'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	if v.refresh > 0 {
		w.Header().Set("Refresh", strconv.Itoa(v.refresh))
	}

	body(w, r, http.StatusOK, "text/html; charset=utf-8", []byte(render(h.state(), v)))
}

// render returns the page as HTML. From top to bottom: the verdict, the
// problems, the numbers of the last minute, the plots, the backends, and a
// panel for each feature that is on.
func render(s State, v view) string {
	w := new(writer)
	judged := judge(s)
	title := judged.short
	if s.Service != "" {
		title += " · " + s.Service
	}

	w.put(`<!doctype html><html lang="en"><head><meta charset="utf-8">`+
		`<meta name="viewport" content="width=device-width, initial-scale=1">`+
		`<meta name="color-scheme" content="light dark"><title>{} · Pillion</title><style>`, title)
	w.put(style + `</style></head><body>`)
	w.top(s, v, judged)
	w.put(`<main>`)
	w.problems(s)
	w.tiles(s)
	w.backends(s, v)
	w.plots(s)
	w.panels(s)
	w.put(`</main></body></html>`)

	return w.String()
}

// top writes the verdict, and the links that choose how often the page reloads.
func (w *writer) top(s State, v view, judged verdict) {
	w.put(`<header><h1 class="{}">{}</h1><p>Pillion {}`, judged.class, judged.text, s.Version)
	if s.Service != "" {
		w.put(` · {}`, s.Service)
	}
	if !s.Begun.IsZero() {
		w.put(` · up {}`, age(s.Begun, s.At))
	}
	w.put(` · <time datetime="{}">{} UTC</time></p>`, s.At.UTC().Format(time.RFC3339),
		s.At.UTC().Format("15:04:05"))

	w.put(`<nav aria-label="Refresh"><span>Refresh:</span>`)
	for _, seconds := range refreshes {
		text := fmt.Sprintf("%d s", seconds)
		if seconds == 0 {
			text = "off"
		}
		w.choice(text, v.every(seconds).link(), v.refresh == seconds)
	}
	w.put(`<a href="{}">now</a><a href="state.json">JSON</a><a href="metrics">metrics</a></nav>`+
		`</header>`, v.link())
}

// choice writes a link to a view of the page. The current view is marked.
func (w *writer) choice(text, link string, current bool) {
	if current {
		w.put(`<a href="{}" aria-current="true">{}</a>`, link, text)
		return
	}

	w.put(`<a href="{}">{}</a>`, link, text)
}

// problems writes the list of problems, or nothing if there is none.
func (w *writer) problems(s State) {
	const most = 8
	list := problems(s)
	if len(list) == 0 {
		return
	}

	w.put(`<section class="problems" aria-labelledby="problems"><h2 id="problems">Problems</h2><ul>`)
	for i, p := range list {
		if i == most {
			w.put(`<li>and {} more: <a href="{}">show them</a>`, len(list)-most,
				view{sort: "problems", refresh: refreshes[0]}.onlyBad(true).link())
			break
		}
		w.put(`<li><b>{}</b> {}`, p.who, p.text)
	}
	w.put(`</ul></section>`)
}

// tiles writes four numbers of the last minute, in large type.
func (w *writer) tiles(s State) {
	r, p := s.Traffic.Recent, s.Traffic.Plot
	if r == nil || p == nil {
		return
	}

	lines := seriesOf(p, s.At)
	last := "in the last minute"
	w.put(`<section class="tiles" aria-label="The last minute">`)
	for i, tile := range []struct{ name, value, note string }{
		{"Requests per second", rate(r.Rate), fmt.Sprint(r.Requests, " ", last)},
		{"Errors", percent(r.ErrorShare), fmt.Sprint(r.Failures, " ", last)},
		{"p95", seconds(r.P95), "p50 " + seconds(r.P50) + ", p99 " + seconds(r.P99)},
		{"In flight", strconv.Itoa(s.Traffic.InFlight), fmt.Sprint(s.Traffic.Tunnels, " WebSockets")},
	} {
		class := markup("spark")
		if i == 1 && r.Failures > 0 {
			class = "spark bad"
		}
		w.put(`<div class="tile"><h2>{}</h2><p class="value">{}</p><p>{}</p>`, tile.name, tile.value,
			tile.note)
		w.spark(lines[i], class)
		w.put(`</div>`)
	}
	w.put(`</section>`)
}

// plots writes the plots of the last ten minutes.
func (w *writer) plots(s State) {
	if s.Traffic.Plot == nil {
		return
	}

	w.put(`<section class="plots" aria-labelledby="plots"><h2 id="plots">Last ten minutes</h2><div>`)
	for _, line := range seriesOf(s.Traffic.Plot, s.At) {
		w.plot(line, s.At)
	}
	w.put(`</div></section>`)
}
