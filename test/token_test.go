package test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
)

// The status token reaches neither the app nor the access log nor a span,
// however wrong the rest of the request is.
func TestStatus_TheTokenReachesNobody(t *testing.T) {
	t.Parallel()
	const token = "secret-token-of-the-status-page"

	p, raw := recorded(t, []string{"LB_STATUS_TOKEN=" + token, "LB_ACCESS_LOG=on", "OTEL_TRACES_EXPORTER=console",
		"OTEL_METRICS_EXPORTER=none"})
	for name, client := range map[string]*http.Client{"HTTP/1.1": newClient(t), "HTTP/2": newH2CClient(t)} {
		for _, target := range []string{
			"/.lb/state?token=", "/.lb/?x=1;token=", "/app?token=", "/.lb/metrics?a&token=", "/?",
			"//.lb/?token=%73", "/.lb/state?token=%73",
		} {
			target = strings.Replace(target+token, "%73s", "%73", 1)
			if a := get(t, client, p.URL(target)); a.StatusCode != http.StatusNotFound || strings.Contains(a.Text, token) {
				t.Errorf("%s %s: %d %q", name, target, a.StatusCode, a.Text)
			}
		}

		for _, credentials := range []string{"Bearer " + token, "bearer  " + token, token, "Token " + token,
			"Basic " + base64.StdEncoding.EncodeToString([]byte("admin:"+token))} {
			for _, path := range []string{"/.lb/metrics", "/.lb/state.json/", "/app"} {
				if a := get(t, client, p.URL(path), "Authorization", credentials); a.StatusCode != http.StatusNotFound {
					t.Errorf("%s %s with %.6s: %d", name, path, credentials, a.StatusCode)
				}
			}
		}

		for _, from := range []string{"/.lb/state.json?token=", "/.lb?x=1&token="} { // as a browser asks for an icon
			if a := get(t, client, p.URL("/favicon.ico"), "Referer", p.URL(from+token)); a.StatusCode != http.StatusNotFound {
				t.Errorf("%s: an icon of %s: %d", name, from, a.StatusCode)
			}
		}

		if a := get(t, client, p.URL("/app?token=of-the-app"), "Authorization",
			"Bearer of-the-app"); a.StatusCode == http.StatusNotFound {
			t.Errorf("%s: the app's own token is refused", name)
		}
	}

	for _, target := range []string{"/.lb?token=", "/.lb/?token="} {
		browser := newClient(t)
		browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		a := get(t, browser, p.URL(target+token))
		cookie := a.Header.Get("Set-Cookie")
		if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/.lb/" ||
			strings.Contains(cookie+a.Text, token) {
			t.Fatalf("%s: %d %q", target, a.StatusCode, a.Header)
		}

		cookie, _, _ = strings.Cut(cookie, ";")
		if a := get(t, browser, p.URL("/.lb/"), "Cookie", "x=y; "+cookie); a.StatusCode != http.StatusOK {
			t.Errorf("with the cookie the page is %d", a.StatusCode)
		}
		if a := get(t, browser, p.URL("/.lb/unknown"), "Cookie", cookie); a.StatusCode != http.StatusNotFound {
			t.Errorf("the app got the cookie: %d", a.StatusCode)
		}
	}

	p.Signal(terminate)
	p.Wait(await.Limit)
	if strings.Contains(p.Printed(), token) {
		t.Error("the token is printed")
	}

	for _, r := range raw.Requests.All() {
		if strings.Contains(r.Head, token) || strings.Contains(r.Head, "pillion-status") {
			t.Errorf("the app saw %q", r.Head)
		}
	}
}
