package status

import (
	"fmt"
	"html"
	"net/http"
	"strings"
	"time"
)

// head is everything of the page before its content. It is one file without assets, because a page about what is
// broken should need nothing that could be. It is plain text with escaped values rather than html/template, whose
// use of reflection would keep the linker from leaving out what nobody calls.
const head = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="refresh" content="5">
<title>Pillion</title>
<style>
:root { --good: #1a7f37; --wait: #9a6700; --bad: #cf222e; --line: #8884 }
@media (prefers-color-scheme: dark) { :root { --good: #3fb950; --wait: #d29922; --bad: #f85149 } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 1rem auto; max-width: 72rem; padding: 0 1rem }
h1 { font-size: 1.25rem; margin: 0 }
h2 { font-size: 1rem; margin: 1.5rem 0 .25rem }
p { margin: .25rem 0 1rem; opacity: .75 }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; vertical-align: top; padding: .35rem .75rem .35rem 0; border-top: 1px solid var(--line); overflow-wrap: anywhere }
thead th { border-top: 0; font-weight: 600; white-space: nowrap }
.settings td:first-child { width: 1%; white-space: nowrap }
small { display: block; opacity: .75 }
.eligible { color: var(--good) } .draining { color: var(--wait) } .bad { color: var(--bad) }
@media (max-width: 60rem) {
  thead { display: none }
  tr { display: block; border-top: 1px solid var(--line); padding: .5rem 0 }
  td { display: grid; grid-template-columns: 7rem 1fr; border: 0; padding: .1rem 0 }
  .settings td:first-child { width: auto }
  td::before { content: attr(data-label); opacity: .75 }
}
</style>
`

// html serves the page of the backends.
func (h *Handler) html(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	w.Header().Set("Referrer-Policy", "no-referrer") // the token may stand in our address
	body(w, r, http.StatusOK, "text/html; charset=utf-8", []byte(render(h.State())))
}

func render(s State) string {
	var b strings.Builder
	b.WriteString(head)
	eligible := 0
	for _, backend := range s.Backends {
		if backend.State == Eligible {
			eligible++
		}
	}
	fmt.Fprintf(&b, "<h1>%s</h1>\n<p>%s</p>\n", escape("Pillion", s.Version, s.Service),
		escape(fmt.Sprintf("%d of %d backends eligible,", eligible, len(s.Backends)), "at", s.At.UTC().Format(time.RFC3339)+",", "up", age(s.Begun, s.At)))
	b.WriteString("<table>\n<thead><tr><th>Backend<th>State<th>Weight<th>In flight<th>Requests<th>Failures<th>Ejections<th>Last probe</thead>\n<tbody>\n")
	for _, backend := range s.Backends {
		row(&b, backend, s.At)
	}
	b.WriteString("</tbody>\n</table>\n<h2>Settings</h2>\n<table class=\"settings\">\n<tbody>\n")
	for _, setting := range s.Settings {
		fmt.Fprintf(&b, "<tr>%s%s\n", cell("Name", escape(setting.Name), ""), cell("Value", escape(setting.Value), ""))
	}
	b.WriteString("</tbody>\n</table>\n</html>\n")
	return b.String()
}

func row(b *strings.Builder, backend Backend, now time.Time) {
	class := "bad"
	if backend.State == Eligible || backend.State == Draining {
		class = backend.State
	}
	state := fmt.Sprintf(`<b class="%s">%s</b> %s`, class, escape(backend.State), escape(lasting(backend.Since, now)))
	ejections := fmt.Sprint(backend.Ejections)
	if backend.EjectedUntil.After(now) {
		ejections += " for " + age(now, backend.EjectedUntil)
	}
	b.WriteString("<tr>")
	b.WriteString(cell("Backend", escape(backend.Name), small(unless(backend.Address, backend.Name))+small(from(unless(backend.Source, backend.Name)))))
	b.WriteString(cell("State", state, small(backend.Reason)))
	b.WriteString(cell("Weight", fmt.Sprint(backend.Weight), ""))
	b.WriteString(cell("In flight", fmt.Sprint(backend.InFlight), ""))
	b.WriteString(cell("Requests", fmt.Sprint(backend.Requests), ""))
	b.WriteString(cell("Failures", fmt.Sprint(backend.Failures), ""))
	b.WriteString(cell("Ejections", escape(ejections), ""))
	b.WriteString(cell("Last probe", escape(probed(backend.LastProbe)), small(ago(backend.LastProbe.At, now))))
	b.WriteString("\n")
}

// cell is one cell of safe HTML: content, and smaller lines below it.
func cell(label, content, below string) string {
	return fmt.Sprintf(`<td data-label="%s"><span>%s%s</span>`, label, content, below)
}

// small is a smaller line that says text, nothing for nothing.
func small(text string) string {
	if text == "" {
		return ""
	}
	return "<small>" + escape(text) + "</small>"
}

// from names the item of LB_BACKENDS that a backend comes from.
func from(source string) string {
	if source == "" {
		return ""
	}
	return "from " + source
}

// escape joins the parts that are not empty and makes them safe to stand in HTML.
func escape(parts ...string) string {
	return html.EscapeString(strings.Join(strings.Fields(strings.Join(parts, " ")), " "))
}

// unless is s, or nothing when it would only say other again.
func unless(s, other string) string {
	if s == other {
		return ""
	}
	return s
}

// age is the time from then to now in whole seconds, "" when then is unknown.
func age(then, now time.Time) string {
	if then.IsZero() {
		return ""
	}
	return now.Sub(then).Round(time.Second).String()
}

func lasting(since, now time.Time) string {
	if since.IsZero() {
		return ""
	}
	return "for " + age(since, now)
}

func ago(then, now time.Time) string {
	if then.IsZero() {
		return ""
	}
	return age(then, now) + " ago"
}

func probed(p Probe) string {
	switch {
	case p.At.IsZero():
		return "none"
	case p.Healthy:
		return "passed: " + p.Result
	default:
		return "failed: " + p.Result
	}
}
