package status

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/auth"
	"github.com/pillion-lb/pillion/proxy/backend"
	"github.com/pillion-lb/pillion/proxy/cache"
	"github.com/pillion-lb/pillion/proxy/history"
	"github.com/pillion-lb/pillion/proxy/limit"
	"github.com/pillion-lb/pillion/proxy/route"
)

var noon = time.Date(2026, 1, 2, 12, 0, 5, 0, time.UTC)

// busy is a state in which everything is on.
func busy() State {
	recent := history.Recent{Requests: 650, Failures: 65, Rate: 10, ErrorShare: 0.1, P50: 0.00085, P95: 0.0042, P99: 1.25}
	plot := &history.Plot{P95: make([]float64, history.Slots)}
	for i := range plot.Requests {
		plot.Requests[i], plot.Failures[i], plot.InFlight[i], plot.P95[i] = uint32(10*i), uint32(i), int32(i), float64(i)/1000
	}
	ages, off, retry := 75.2, noon.Add(-12*time.Second), noon.Add(4*time.Second)

	return State{
		Version: "1.2.3", Service: "shop", At: noon, Begun: noon.Add(-time.Hour),
		Settings: []Setting{{"LB_POLICY", "random2", "LB_POLICY='random2'"}},
		Backends: []backend.State{
			{Name: "blue", Address: "127.0.0.1:9000", Source: ":9000?name=blue", State: backend.Eligible,
				Since: noon.Add(-time.Minute), Weight: 3, InFlight: 7, Requests: 11, Recent: &recent},
			{Name: "green", Address: "green", State: backend.Ejected,
				Reason: "5 failures in a row, last: status 503; ejected until 2026", Since: noon.Add(-11 * time.Second),
				Ejections: 2, EjectedUntil: noon.Add(9 * time.Second),
				LastError: "status 503", LastErrorAt: noon.Add(-4 * time.Second),
				LastProbe: backend.Probe{At: noon.Add(-time.Second), Result: "503"}},
			{Name: "grey", State: backend.Draining, LastProbe: backend.Probe{At: noon, Healthy: true, Result: "200"}},
			{Name: "red", State: backend.Eligible, Failing: true, FailuresInRow: 30, LastError: "connect: connection refused",
				LastErrorAt: noon.Add(-2 * time.Second)},
			{Name: "sick", State: backend.Unhealthy, Reason: "probe: 404"},
		},
		Sources: []Source{
			{Source: "dns://app:80", Kind: "dns", Backends: 3, Age: &ages},
			{Source: "dns://late:80", Kind: "dns"},
			{Source: "dns://gone:80", Kind: "dns", Error: "no such host"},
			{Source: "dns://lost:80", Kind: "dns", Age: &ages, Error: "timeout"},
		},
		Routes: []Route{{route.Row{Host: "*", Path: "/api/*", Route: "api", Action: "service api"}, 42}},
		Cache:  &cache.Stats{Objects: 3, Bytes: 1 << 20, Most: 8 << 20},
		Access: &Access{
			Gates: []config.Gate{{Name: "LB_AUTH"}, {Name: "LB_DENY_PATHS", Routes: []string{"default", "api"}}},
			Keys: []auth.State{
				{Provider: "a.example", Keys: 3, Age: &ages, Fetched: 2},
				{Provider: "iap", Error: "connection refused", Failed: 4},
				{Provider: "google", Keys: 2, Age: &ages, Error: "status 500"},
				{Provider: "firebase"},
			},
			Limits: &limit.States{
				Limits: []limit.LimitState{
					{Name: "login", By: "client", Allowed: 50, Refused: 6, Known: 7, Room: 65_536},
					{Name: "api.limit-1", By: "claim:sub", Dry: true, Refused: 9, Room: 4096},
				},
				InFlight: &limit.InFlightState{Most: 20, Clients: 3, Refused: 1},
				Store:    &limit.StoreState{State: limit.StoreOff, Since: &off, Retry: &retry, Error: "i/o timeout"},
			},
		},
		Traffic: history.Traffic{
			InFlight: 8, Tunnels: 2, Recent: &recent, Plot: plot,
			Services: []history.Service{{Limit: 80, Waiting: 5, RetryBudget: 99.6}},
			Refused:  map[string]int64{"rate:login": 6, "keys_unavailable": 4},
			Sessions: map[string]int64{"valid": 70}, Retries: map[string]int64{"not_sent": 6},
			Ejections: map[string]int64{"green": 2},
		},
		Events: []Event{{noon.Add(-time.Second), "WARN", "backend ejected", "backend=green seconds=9.6"}},
	}
}

// tags are what stands between what a reader sees.
var tags = regexp.MustCompile(`<[^>]*>`)

// seen is a page as it is read.
func seen(page string) string {
	_, page, _ = strings.Cut(page, "</style>")
	return strings.Join(strings.Fields(tags.ReplaceAllString(page, " ")), " ") // also at U+00A0
}

func TestPage_ShowsWhatThereIs(t *testing.T) {
	t.Parallel()
	page := render(busy(), readView("/.lb/"))
	text := seen(page)
	for _, want := range []string{
		"1 of 4 in use. green, red and sick are out. 10 % of the requests failed in the last minute.",
		"Pillion 1.2.3 · shop · up 1h0m0s · 12:00:05 UTC",
		"Requests per second 10.0 650 in the last minute", "Errors 10 % 65 in the last minute",
		"p95 4.2 ms p50 850 µs, p99 1.2 s", "In flight 8 2 WebSockets",
		"green out: ejected for 11s: 5 failures in a row, last: status 503; next trial in 9s; last error 4s ago",
		"red failing: its last 30 attempts failed; last error 2s ago: connect: connection refused",
		"dns://late:80 has not answered yet", "dns://gone:80 has not answered: no such host",
		"dns://lost:80 does not answer, its last backends stay: timeout",
		"blue in use 10.0 10 % 850 µs 4.2 ms 1.2 s 7 11 3", "grey draining", "sick out: probe",
		"dns://app:80 up 3 1m15s ago", "dns://gone:80 failing 0 never no such host", "* /api/* api service api 42",
		"valid 70", "waiting for a place 5", "places for each backend 80", "retries left in the budget 100",
		"retries: not sent 6", "ejections of green 2",
		"LB_AUTH all routes LB_DENY_PATHS default, api refused, keys unavailable 4 refused, rate:login 6",
		"a.example up 3 1m15s ago iap failing 0 never connection refused",
		"google failing 2 1m15s ago status 500 firebase waiting 0 never",
		"login client 50 6 7 of 65536 api.limit-1 claim:sub 0 9 (dry) 0 of 4096 in flight, 20 each client 1 3",
		"The store is off for 12s: this instance counts for itself. i/o timeout; next try in 4s",
		"iap gives no keys, its tokens get 503: connection refused",
		"google does not answer, its last keys are used for a day: status 500",
		"stored answers 3", "1.0 of 8.0 MiB", "12:00:04 backend ejected backend=green seconds=9.6", "LB_POLICY='random2'",
		"In flight 11:50 top 59 12:00",
	} {
		if !strings.Contains(strings.ReplaceAll(text, "&#39;", "'"), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, want := range []string{
		"<title>1 of 4 in use · shop · Pillion</title>", `title="127.0.0.1:9000 from :9000?name=blue"`,
		`aria-label="p95 in the last ten minutes: 59 ms now, 59 ms at most"`,
		"last probe 1s ago failed: 503, ejections in a row: 2",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q", want)
		}
	}
}

func TestPage_VerdictSaysWhatTheClientsMeet(t *testing.T) {
	t.Parallel()
	up := backend.State{Name: "up", State: backend.Eligible}
	out := backend.State{Name: "out", State: backend.Ejected}
	failing := backend.State{Name: "bad", State: backend.Eligible, Failing: true}
	half := backend.State{Name: "half", State: backend.Eligible, Recent: &history.Recent{Requests: 4, ErrorShare: 0.5}}
	once := backend.State{Name: "once", State: backend.Eligible, Recent: &history.Recent{Requests: 2, ErrorShare: 1}}
	panicking := backend.State{Name: "out", State: backend.Unhealthy, Panic: true}
	draining := backend.State{Name: "old", State: backend.Draining}
	for _, test := range []struct {
		backends    []backend.State
		sources     []Source
		text, short string
		class       markup
	}{
		{[]backend.State{up}, nil, "The backend is in use.", "1 of 1 in use", "good"},
		{[]backend.State{up, up, draining}, nil, "All 2 backends are in use.", "2 of 2 in use", "good"},
		{[]backend.State{up, half}, nil, "All 2 backends are in use. half fails. See the problems below.",
			"2 of 2 in use", "wait"},
		{[]backend.State{up, once}, nil, "All 2 backends are in use.", "2 of 2 in use", "good"},
		{[]backend.State{up, half, half, out}, nil, "3 of 4 in use. out is out. half and half fail.", "3 of 4 in use",
			"wait"},
		{[]backend.State{up}, []Source{{Error: "no such host"}}, "The backend is in use. See the problems below.",
			"1 of 1 in use", "wait"},
		{[]backend.State{up, out}, nil, "1 of 2 in use. out is out.", "1 of 2 in use", "wait"},
		{[]backend.State{up, out, failing}, nil, "1 of 3 in use. out and bad are out.", "1 of 3 in use", "wait"},
		{[]backend.State{up, out, failing, out, out, out}, nil, "1 of 6 in use. out, bad and 3 more are out.",
			"1 of 6 in use", "wait"},
		{[]backend.State{panicking, panicking}, nil, "0 of 2 backends are healthy, so all are used.", "0 of 2 healthy",
			"wait"},
		{[]backend.State{out, failing}, nil, "503: no backend answers.", "0 of 2 in use", "bad"},
		{nil, []Source{{Error: "no such host"}}, "503: no backend is known.", "0 of 0 in use", "bad"},
		{nil, []Source{{Error: "no such host"}, {}}, "No backend is known yet.", "0 of 0 in use", "wait"},
	} {
		if v := judge(State{Backends: test.backends, Sources: test.sources}); v != (verdict{test.short, test.text,
			test.class}) {
			t.Errorf("got %+v, want %+v", v, test)
		}
	}

	s := State{Backends: []backend.State{up},
		Traffic: history.Traffic{Recent: &history.Recent{Failures: 1, ErrorShare: 0.02}}}
	if v := judge(s); v.class != "wait" ||
		v.text != "The backend is in use. 2.0\u00a0% of the requests failed in the last minute." {
		t.Errorf("got %+v", v)
	}
}

func TestPage_NothingShownIsRead(t *testing.T) {
	t.Parallel()
	evil := `"><script>alert('x')</script>&{}`
	s := busy()
	s.Version, s.Service = evil, evil
	s.Settings = []Setting{{evil, evil, evil}}
	s.Sources = []Source{{Source: evil, Kind: evil, Error: evil, Service: evil}}
	s.Backends = []backend.State{{Name: evil, Address: evil, Source: evil, State: backend.Ejected, Reason: evil,
		Service: evil, LastError: evil, LastProbe: backend.Probe{At: noon, Result: evil}}}
	s.Routes = []Route{{route.Row{Host: evil, Path: evil, Conditions: evil, Share: evil, Route: evil, Action: evil,
		Mark: evil}, 1}}
	s.Events = []Event{{noon, evil, evil, evil}}
	s.Traffic.Sessions, s.Traffic.Refused = map[string]int64{evil: 1}, map[string]int64{evil: 1}
	s.Access = &Access{[]config.Gate{{Name: evil, Routes: []string{evil}}}, []auth.State{{Provider: evil, Error: evil}},
		&limit.States{
			Limits: []limit.LimitState{{Name: evil, By: evil}}, InFlight: &limit.InFlightState{},
			Store: &limit.StoreState{State: limit.StoreOff, Since: &noon, Error: evil},
		}}
	s.Traffic.Services = []history.Service{{Name: evil, Limit: 1}}
	v := readView("/.lb/?find=" + "%22%3E%3Cscript%3E&sort=%22%3E%3Cscript%3E&refresh=%3Cscript%3E")
	page := render(s, v)
	if strings.Contains(page, "<script") || strings.Contains(page, "'x'") ||
		strings.Contains(strings.ReplaceAll(page, `class=""`, ""), `""`) {
		t.Errorf("not escaped:\n%s", page)
	}
	if !strings.Contains(page, "&amp;{}") {
		t.Error("the braces of a value are read as a place for the next one")
	}
}

// page asks for the page, with the token.
func page(h *Handler, query string) *httptest.ResponseRecorder {
	return ask418(h, "/.lb/"+query, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) })
}

func TestPage_NeedsNothingFromOutsideAndTellsNobodyItsAddress(t *testing.T) {
	t.Parallel()
	h := handler()
	h.State = busy
	w := page(h, "")
	content := w.Body.String()
	for _, outside := range []string{"http://", "https://", "src=", "url(", "@import", "<script", "<link", "http-equiv",
		"style=", " on"} {
		if _, body, _ := strings.Cut(content, "</head>"); strings.Contains(tags.FindString(body), outside) ||
			outside != " on" && strings.Contains(content, outside) {
			t.Errorf("the page has %q", outside)
		}
	}
	for _, m := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(content, -1) {
		if link := m[1]; !strings.HasPrefix(link, "?") && link != "." && link != "state.json" && link != "metrics" {
			t.Errorf("the page leads to %q", link)
		}
	}

	_, css, _ := strings.Cut(content, "<style>")
	css, _, _ = strings.Cut(css, "</style>")
	sum := sha256.Sum256([]byte(css))
	want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
	if got := w.Header().Get("Content-Security-Policy"); got != want ||
		w.Header().Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("got %v, want %s", w.Header(), want)
	}
	for _, want := range []string{"prefers-color-scheme:dark", `name="viewport"`, `<html lang="en">`, "<main>", "<h1",
		`scope="row"`, "<caption>"} {
		if !strings.Contains(content, want) {
			t.Errorf("no %q", want)
		}
	}
}

// Nothing is said of what is off.
func TestPage_SaysWhoCounts(t *testing.T) {
	t.Parallel()
	for want, store := range map[string]*limit.StoreState{
		"This instance counts for itself.":                                 {State: limit.StoreNone},
		"The store has not answered yet: this instance counts for itself.": {State: limit.StoreConnecting, Since: &noon},
		"All instances count in the store: 8 requests answered, 5 without": {State: limit.StoreOn, Since: &noon,
			Results: map[string]int64{"answered": 8, "timed_out": 2, "skipped": 3}},
		"The store is off for 0s: this instance counts for itself. i/o timeout": {State: limit.StoreOff, Since: &noon,
			Error: "i/o timeout"},
	} {
		s := State{At: noon, Access: &Access{Limits: &limit.States{Store: store}}}
		if text := seen(render(s, readView("/.lb/"))); !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	text := seen(render(State{At: noon, Access: &Access{Gates: []config.Gate{{Name: "LB_DENY_PATHS"}}}},
		readView("/.lb/")))
	if strings.Contains(text, "Limits") || strings.Contains(text, "Keys") || !strings.Contains(text,
		"Access LB_DENY_PATHS all routes") {
		t.Error(text)
	}
	if text := seen(render(State{At: noon}, readView("/.lb/"))); strings.Contains(text, "Access") {
		t.Error(text)
	}
}

// A setting is shown as it is set, with every blank.
func TestPage_SettingsAreExact(t *testing.T) {
	t.Parallel()
	s := State{At: noon, Settings: []Setting{{Line: "X='a  <b>'"}}}
	if page := render(s, readView("/.lb/")); !strings.Contains(page, "X=&#39;a  &lt;b&gt;&#39;\n") {
		t.Error(page)
	}
}

func TestPage_RefreshCanBeTurnedOff(t *testing.T) {
	t.Parallel()
	h := handler()
	for query, want := range map[string]string{"": "5", "?refresh=5": "5", "?refresh=30": "30", "?refresh=0": "",
		"?refresh=1": "5", "?refresh=": "5"} {
		if got := page(h, query).Header().Get("Refresh"); got != want {
			t.Errorf("%q: got %q", query, got)
		}
	}
	if content := page(h, "").Body.String(); !strings.Contains(content, `<a href="?refresh=0">off</a>`) {
		t.Errorf("no link turns it off in %s", content)
	}
}

func TestView_SortsAndFilters(t *testing.T) {
	t.Parallel()
	var all []backend.State
	for i, name := range []string{"demo-10", "demo-2", "demo-1", "other"} {
		all = append(all, backend.State{Name: name, Address: fmt.Sprint("10.0.0.", i), State: backend.Eligible,
			InFlight: int64(i),
			Recent:   &history.Recent{Rate: float64(i % 3), ErrorShare: float64(i % 2), P95: float64(-i)}})
	}
	all[1].State, all[3].Failing = backend.Unhealthy, true
	for query, want := range map[string]string{
		"":                   "demo-2 other demo-1 demo-10",
		"sort=unknown":       "demo-2 other demo-1 demo-10",
		"sort=name":          "demo-1 demo-2 demo-10 other",
		"sort=rate":          "demo-1 demo-2 demo-10 other",
		"sort=errors":        "demo-2 other demo-1 demo-10",
		"sort=p95":           "demo-10 demo-2 demo-1 other",
		"sort=in-flight":     "other demo-1 demo-2 demo-10",
		"show=problems":      "demo-2 other",
		"find=DEMO":          "demo-2 demo-1 demo-10",
		"find=10.0.0.3":      "other",
		"find=nothing":       "",
		"find=1&sort=name":   "demo-1 demo-2 demo-10 other",
		"show=problems&x=%z": "demo-2 other",
	} {
		var names []string
		for _, b := range readView("/.lb/?" + query).backends(all) {
			names = append(names, b.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
}

func TestView_IsKeptByEachLink(t *testing.T) {
	t.Parallel()
	v := readView("/.lb/?sort=p95&show=problems&find=a+b&refresh=30")
	if got := v.link(); got != "?find=a+b&refresh=30&show=problems&sort=p95" {
		t.Errorf("got %q", got)
	}
	if got := v.sorted("name").every(0).onlyBad(false).link(); got != "?find=a+b&refresh=0&sort=name" {
		t.Errorf("got %q", got)
	}
	if got := readView("/.lb/").link(); got != "." {
		t.Errorf("got %q", got)
	}
}

// Each line of a table of fifty is one line high, and the page stays short: the
// longest lists scroll.
func TestPage_OfFiftyBackendsHasOneLineForEach(t *testing.T) {
	t.Parallel()
	s := State{At: noon}
	for i := range 50 {
		s.Backends = append(s.Backends,
			backend.State{Name: fmt.Sprint("demo-", i), State: backend.Ejected, Reason: strings.Repeat("long ", 100)})
	}
	page := render(s, readView("/.lb/"))
	if n := strings.Count(page, `<tr><th scope="row"`); n != 50 {
		t.Errorf("%d lines", n)
	}
	if n := strings.Count(page, "<li>"); n != 9 || !strings.Contains(seen(page), "and 42 more") {
		t.Errorf("%d problems are listed", n)
	}
}

func TestNumber_HasTwoOrThreeDigits(t *testing.T) {
	t.Parallel()
	for _, test := range [][2]string{
		{rate(0), "0"}, {rate(0.1666), "0.17"}, {rate(12.34), "12.3"}, {rate(1234.5), "1234"},
		{percent(0), "0 %"}, {percent(0.0001), "< 0.1 %"}, {percent(0.0123), "1.2 %"}, {percent(0.5), "50 %"},
		{percent(1), "100 %"},
		{seconds(0), "–"}, {seconds(0.000851), "851 µs"}, {seconds(0.00123), "1.2 ms"}, {seconds(0.0876), "88 ms"},
		{seconds(1.26), "1.3 s"}, {seconds(75), "75 s"},
	} {
		if got := strings.ReplaceAll(test[0], "\u00a0", " "); got != test[1] {
			t.Errorf("got %q, want %q", got, test[1])
		}
	}
}

func TestSettings_AreThoseThatDiffer(t *testing.T) {
	t.Parallel()
	cfg, _ := config.Load([]string{"LB_BACKENDS=:9000;:9001", "LB_STATUS_TOKEN=" + token, "LB_RESPOND__X=it's fine",
		"LB_ROUTE__X=/x"})
	var lines []string
	for _, s := range NewState(cfg, "1", noon, nil, nil).Settings {
		lines = append(lines, s.Line)
	}
	text := strings.Join(lines, "\n")
	for _, want := range []string{"LB_BACKENDS=':9000;:9001'", "# LB_STATUS_TOKEN (secret, environment)",
		"LB_ROUTE__X='/x'"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "LB_POLICY") || strings.Contains(text, token) {
		t.Errorf("got\n%s", text)
	}
}
