package routes

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// hasAudience reports whether a bearer token is for an audience.
func hasAudience(field, audience string) bool {
	parts := strings.Split(strings.TrimPrefix(field, "Bearer "), ".")
	if len(parts) != 3 {
		return false
	}
	claims := struct{ Aud string }{}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])

	return err == nil && json.Unmarshal(raw, &claims) == nil && claims.Aud == audience
}

// visit sends one request with the cookies of a browser. It returns the backend
// that answered, and the cookie of the share if the answer sets one.
func visit(t *testing.T, c *http.Client, p *binary.Process, cookie string) (from, set string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", p.URL("/"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	response, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	for _, line := range response.Header["Set-Cookie"] {
		if pair, _, _ := strings.Cut(line, ";"); strings.HasPrefix(pair, "__lbs_") {
			set = pair
		}
	}
	if set != "" && !strings.Contains(response.Header.Get("Cache-Control"), "private") {
		t.Errorf("an answer with a cookie has Cache-Control %q, want private", response.Header.Get("Cache-Control"))
	}

	return response.Header.Get(backend.NameField), set
}

// visitors sends one request for each browser, eight at a time. It keeps new
// cookies, and returns which browsers the canary answered.
func visitors(t *testing.T, p *binary.Process, cookies []string) (canary map[int]bool) {
	t.Helper()
	canary = map[int]bool{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			c := client(t)
			for n := worker; n < len(cookies); n += 8 {
				from, set := visit(t, c, p, cookies[n])
				if set != "" {
					if cookies[n] != "" {
						t.Errorf("a browser with %s got the new cookie %s, want none", cookies[n], set)
					}
					cookies[n] = set
				}
				if from == "canary" {
					mu.Lock()
					canary[n] = true
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()

	return canary
}

// Browsers stay on their side of a share: in the same process, in another one,
// and when the share grows. Package route tests the statistics with 100,000
// browsers.
func TestShares_BrowsersKeepTheirSide(t *testing.T) {
	t.Parallel()
	const browsers = 4000
	ui, canary := backend.Start(t, "ui", nil), backend.Start(t, "canary", nil)
	start := func(share string) *binary.Process {
		return pillion.Start(t, list("LB_BACKENDS", ui), list("LB_BACKENDS__CANARY", canary),
			"LB_ROUTE__CANARY=/*?share="+share, "LB_SHARE_BY=cookie")
	}
	cookies := make([]string, browsers)
	five := start("5%")
	first := visitors(t, five, cookies)
	if share := 100 * float64(len(first)) / browsers; share < 3.6 || share > 6.4 { // 4 standard deviations
		t.Errorf("%.1f%% of the browsers are on the canary, want 5%%", share)
	}
	for name, p := range map[string]*binary.Process{"the same process": five, "another process": start("5%")} {
		again := visitors(t, p, cookies)
		if len(again) != len(first) {
			t.Errorf("%s: %d browsers on the canary, want %d as before", name, len(again), len(first))
		}
		for n := range first {
			if !again[n] {
				t.Fatalf("%s: browser %d has left the canary", name, n)
			}
		}
	}

	ten := visitors(t, start("10%"), cookies)
	for n := range first {
		if !ten[n] {
			t.Fatalf("with 10%% browser %d has left the canary", n)
		}
	}
	if share := 100 * float64(len(ten)) / browsers; share < 8.1 || share > 11.9 {
		t.Errorf("%.1f%% of the browsers are on the canary, want 10%%", share)
	}
	if left := visitors(t, start("0%"), cookies); len(left) > 0 {
		t.Errorf("with 0%% %d browsers are on the canary, want none", len(left))
	}
}

func TestShares_MayGoByAFieldOfTheRequest(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, list("LB_BACKENDS", startEcho(t, "ui")), list("LB_BACKENDS__CANARY", startEcho(t, "canary")),
		"LB_ROUTE__CANARY=/*?share=50%",
		"LB_SHARE_BY=header.X-Account")
	sides := map[string]int{}
	for n := range 60 {
		account := fmt.Sprintf("X-Account: user-%d", n)
		a, b := get(t, p, "/", account), get(t, p, "/x", account)
		if a.from() != b.from() || len(a.Header["Set-Cookie"]) > 0 {
			t.Errorf("user %d: %q, then %q, want the same and no cookie: %v", n, a.from(), b.from(), a.Header)
		}
		sides[a.from()]++
	}
	if sides["ui"] < 10 || sides["canary"] < 10 {
		t.Errorf("users on each side: %v, want 10 at least", sides)
	}
	if a := get(t, p, "/"); a.from() != "ui" {
		t.Errorf("a request without the field is answered by %q, want ui", a.from())
	}
}

// Pillion's own errors and answers with 502 to 504 set no cookie.
func TestShares_ErrorsSetNoCookie(t *testing.T) {
	t.Parallel()
	bad := backend.Start(t, "bad",
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	p := pillion.Start(t, list("LB_BACKENDS", bad), "LB_BACKENDS__CANARY=http://127.0.0.1:1", "LB_START_HOLD=0s",
		"LB_ROUTE__CANARY=/*?share=50%", "LB_SHARE_BY=cookie")
	for range 20 {
		if a := get(t, p, "/"); len(a.Header["Set-Cookie"]) > 0 {
			t.Errorf("status %d, want no cookie: %v", a.StatusCode, a.Header)
		}
	}
}
