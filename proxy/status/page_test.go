package status

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestPage_ShowsEveryBackendWithStateAndReason(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	page := render(State{
		Version: "1.2.3", Service: "shop", At: now, Begun: now.Add(-time.Hour),
		Settings: []Setting{{"LB_POLICY", "random"}},
		Backends: []Backend{
			{Name: "blue", Address: "127.0.0.1:9000", Source: ":9000?name=blue", State: Eligible, Since: now.Add(-time.Minute), Weight: 3, InFlight: 7, Requests: 11, Failures: 2},
			{Name: "green", Address: "green", State: Ejected, Reason: "5 failures in a row", Ejections: 2, EjectedUntil: now.Add(9 * time.Second), LastProbe: Probe{At: now.Add(-time.Second), Result: "503"}},
			{Name: "grey", State: Draining, LastProbe: Probe{At: now, Healthy: true, Result: "200"}},
		},
	})
	for _, want := range []string{
		"Pillion 1.2.3 shop", "1 of 3 backends eligible, at 2026-01-02T03:04:05Z, up 1h0m0s", "LB_POLICY",
		"<small>127.0.0.1:9000</small><small>from :9000?name=blue</small>", `<b class="eligible">eligible</b> for 1m0s`, `data-label="In flight"><span>7<`,
		`<b class="bad">ejected</b>`, "<small>5 failures in a row</small>", "2 for 9s", "failed: 503", "1s ago",
		`<b class="draining">draining</b>`, "passed: 200",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	if strings.Count(page, "<tr><td") != 4 {
		t.Errorf("want three rows of backends and one of settings:\n%s", page)
	}
}

func TestPage_NothingShownIsRead(t *testing.T) {
	t.Parallel()
	evil := `"><script>alert('x')</script>&`
	page := render(State{Version: evil, Service: evil, Settings: []Setting{{evil, evil}},
		Backends: []Backend{{Name: evil, Address: evil + "a", Source: evil + "s", State: evil, Reason: evil, LastProbe: Probe{At: time.Unix(1, 0), Result: evil}}}})
	if strings.Contains(page, "<script") || strings.Contains(page, "'x'") || strings.Contains(page, `""`) {
		t.Errorf("not escaped:\n%s", page)
	}
}

func TestPage_NeedsNothingFromOutsideAndTellsNobodyItsAddress(t *testing.T) {
	t.Parallel()
	res, content := do(t, http.MethodGet, behind(t, handler())+"/.lb/?token="+token, "")
	for _, outside := range []string{"http://", "https://", "src=", "href=", "url(", "@import"} {
		if strings.Contains(content, outside) {
			t.Errorf("the page has %q", outside)
		}
	}
	if res.Header.Get("Referrer-Policy") != "no-referrer" || !strings.HasPrefix(res.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("got %v", res.Header)
	}
	for _, want := range []string{`http-equiv="refresh"`, "prefers-color-scheme: dark", `name="viewport"`} {
		if !strings.Contains(content, want) {
			t.Errorf("no %q", want)
		}
	}
}
