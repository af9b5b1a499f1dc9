package routes

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/fakemetadata/server"
	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// wantUntouched sends n requests to the UI. It fails the test unless all are
// answered by the UI within two seconds.
func wantUntouched(t *testing.T, p *binary.Process, n int) {
	t.Helper()
	c := client(t)
	for range n {
		begun := time.Now()
		response, err := c.Get(p.URL("/"))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != 200 || response.Header.Get(backend.NameField) != "ui" {
			t.Fatalf("status %d from %q, want 200 from ui", response.StatusCode, response.Header.Get(backend.NameField))
		}
		if took := time.Since(begun); took > 2*time.Second {
			t.Fatalf("an answer took %v, want 2s at most", took)
		}
	}
}

func TestIsolation_ADownServiceDoesNotDisturbOthers(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, list("LB_BACKENDS", startEcho(t, "ui")), "LB_BACKENDS__API=http://127.0.0.1:1",
		"LB_ROUTE__API=/api/*",
		"LB_START_HOLD__API=0s", "LB_EJECT_ERRORS=1")
	for range 20 {
		if a := get(t, p, "/api/x"); a.StatusCode != 503 && a.StatusCode != 502 {
			t.Errorf("/api/x: status %d, want 502 or 503", a.StatusCode)
		}
		wantUntouched(t, p, 5)
	}
}

func TestIsolation_ASilentDiscoverySourceDelaysOnlyItsService(t *testing.T) {
	t.Parallel()
	silent := backend.Listen(t) // accepts connections and never answers
	p := pillion.Start(t, list("LB_BACKENDS", startEcho(t, "ui")), "LB_BACKENDS__API=metadata://instance/attributes/x",
		"GCE_METADATA_HOST="+silent.Addr().String(), "LB_ROUTE__API=/api/*")
	wantUntouched(t, p, 20)
	if a := get(t, p, "/.lb/started"); a.StatusCode == 200 {
		t.Error("/.lb/started is 200 before the sources of all services have answered")
	}
}

func TestIsolation_AFullOrSlowServiceDoesNotDisturbOthers(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	begun := make(chan struct{}, 100)
	api := backend.Start(t, "api", func(http.ResponseWriter, *http.Request) {
		begun <- struct{}{}
		<-release
	})
	p := pillion.Start(t, list("LB_BACKENDS", startEcho(t, "ui")), list("LB_BACKENDS__API", api), "LB_ROUTE__API=/api/*",
		"LB_MAX_IN_FLIGHT__API=2", "LB_QUEUE_SIZE__API=2", "LB_QUEUE_TIMEOUT__API=30s")
	var waiting sync.WaitGroup
	for range 4 {
		waiting.Go(func() {
			if response, err := client(t).Get(p.URL("/api/x")); err == nil {
				response.Body.Close()
			}
		})
	}
	<-begun
	<-begun
	if !await.Within(await.Limit, func() bool { return get(t, p, "/api/full").StatusCode == 503 }) {
		t.Fatal("the service is never full, want a 503")
	}
	wantUntouched(t, p, 50)
	close(release)
	waiting.Wait()
}

// The ejection of an endpoint and the sessions of a service do not affect
// another service that has an endpoint of the same name.
func TestIsolation_ServicesShareNeitherHealthNorSessions(t *testing.T) {
	t.Parallel()
	one := backend.Start(t, "one", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	other, ui := backend.Start(t, "other", nil), backend.Start(t, "ui", nil)
	p := pillion.Start(t, "LB_BACKENDS=http://"+ui.Address+"?name=x"+spare,
		"LB_BACKENDS__API=http://"+one.Address+"?name=x;"+other.Target(),
		"LB_ROUTE__API=/api/*", "LB_EJECT_ERRORS=2", "LB_SESSION_AFFINITY=cookie", "LB_STATUS_TOKEN=0123456789abcdef")
	for range 30 {
		get(t, p, "/api/x")
	}
	wantUntouched(t, p, 20)
	state := get(t, p, "/.lb/state.json", "Authorization: Bearer 0123456789abcdef").text
	if strings.Count(state, `"ejected"`) != 1 ||
		!strings.Contains(state, `"service": "api"`) && !strings.Contains(state, `"service":"api"`) {
		t.Errorf("want one ejected endpoint, of the service api: %s", state)
	}

	names := map[string]bool{}
	for _, target := range []string{"/", "/api/x"} {
		for _, line := range get(t, p, target).Header["Set-Cookie"] {
			name, _, _ := strings.Cut(line, "=")
			names[name] = true
		}
	}
	if len(names) != 2 {
		t.Errorf("cookies %v, want one of each service", names)
	}
}

// Pillion's own cookies are removed on every route, and no other cookies.
func TestIsolation_NoServiceReceivesPillionsCookies(t *testing.T) {
	t.Parallel()
	ui, api := startEcho(t, "ui"), startEcho(t, "api")
	p := pillion.Start(t, list("LB_BACKENDS", ui)+spare, list("LB_BACKENDS__API", api)+spare,
		"LB_ROUTE__API=/api/*;/*?share=0%",
		"LB_SESSION_AFFINITY=cookie")
	var cookies []string
	for _, target := range []string{"/", "/api/x"} {
		for _, line := range get(t, p, target).Header["Set-Cookie"] {
			pair, _, _ := strings.Cut(line, ";")
			cookies = append(cookies, pair)
		}
	}
	if len(cookies) < 3 {
		t.Fatalf("cookies %q, want 3 at least", cookies)
	}
	for _, target := range []string{"/", "/api/x"} {
		a := get(t, p, target, "Cookie: a=b; "+strings.Join(cookies, "; ")+"; c=d")
		if a.saw("Cookie") != "a=b; c=d" {
			t.Errorf("%s: the backend received the cookies %q, want a=b; c=d", target, a.saw("Cookie"))
		}
	}
}

// A token for one audience never reaches another service, on any route and
// after any retry.
func TestIsolation_NoTokenReachesAnotherService(t *testing.T) {
	t.Parallel()
	metadata := httptest.NewServer(server.New(server.Identity{}))
	t.Cleanup(metadata.Close)
	authority := backend.NewAuthority(t)
	var wrong await.Values[string]
	serve := func(name, audience string) *backend.Server {
		return backend.StartTLS(t, name, authority, func(_ http.ResponseWriter, r *http.Request) {
			token := r.Header.Get("X-Serverless-Authorization")
			if audience == "" && token != "" || audience != "" && !strings.HasPrefix(token, "Bearer ") ||
				strings.Contains(token, "forged") {
				wrong.Add(fmt.Sprintf("%s got %q", name, token))
			}
			if audience != "" && !hasAudience(token, audience) {
				wrong.Add(fmt.Sprintf("%s got a token for another audience", name))
			}
		})
	}
	a, b, c := serve("a", "https://a.example"), serve("b", "https://b.example"), serve("c", "")
	p := pillion.Start(t, list("LB_BACKENDS", a), list("LB_BACKENDS__B", b), list("LB_BACKENDS__C", c), "LB_ROUTE__B=/b/*",
		"LB_ROUTE__C=/c/*",
		"LB_ROUTE__TOB=/tob", "LB_SERVICE__TOB=b", "GCE_METADATA_HOST="+strings.TrimPrefix(metadata.URL, "http://"),
		"LB_CA_FILE="+authority.File,
		"LB_IDENTITY=https://a.example", "LB_IDENTITY__B=https://b.example")
	for range 10 {
		for target, from := range map[string]string{"/": "a", "/b/x": "b", "/tob": "b", "/c/x": "c"} {
			if got := get(t, p, target, "X-Serverless-Authorization: Bearer forged"); got.StatusCode != 200 ||
				got.from() != from {
				t.Errorf("%s: status %d from %q, want 200 from %q", target, got.StatusCode, got.from(), from)
			}
		}
	}
	if all := wrong.All(); len(all) > 0 {
		t.Errorf("%d requests were wrong, the first: %s", len(all), all[0])
	}
}
