package test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/backend"
)

// echoing starts a backend that answers with the request's URL. The answers may
// be stored.
func echoing(t *testing.T, name string) *backend.Server {
	return backend.Start(t, name, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("X-Powered-By", "an app")
		_, _ = io.WriteString(w, name+" "+r.RequestURI)
	})
}

func TestCacheRoutes_EachHasItsOwnSetting(t *testing.T) {
	t.Parallel()
	b := echoing(t, "one")
	p := pillion.Start(t, "LB_BACKENDS="+b.Target(), "LB_CACHE__FILES=origin", "LB_ROUTE__FILES=/files/*")
	client := newClient(t)
	for _, c := range []struct {
		target string
		want   bool
	}{{"/files/a", true}, {"/other", false}} {
		get(t, client, p.URL(c.target))
		a := get(t, client, p.URL(c.target))
		if isHit(a) != c.want || c.want != (a.Header.Get("Cache-Status") != "") {
			t.Errorf("%s: %v", c.target, a.Header)
		}
	}
}

// TestCacheRoutes_DoNotShareAnswers has two routes that match the same URL.
func TestCacheRoutes_DoNotShareAnswers(t *testing.T) {
	t.Parallel()
	one, two := echoing(t, "one"), echoing(t, "two")
	p := pillion.Start(t, "LB_BACKENDS="+one.Target(), "LB_BACKENDS__BETA="+two.Target(),
		"LB_ROUTE__BETA=/*?header.x-beta",
		"LB_ROUTE__RAW=/*?header.x-raw", "LB_REWRITE__RAW=/raw", "LB_ROUTE__WRITE=/*?method=PUT", "LB_CACHE=origin",
		"LB_CACHE__WRITE=off")
	client := newClient(t)
	ask := func(field string) answer {
		if field == "" {
			return get(t, client, p.URL("/x"))
		}
		return get(t, client, p.URL("/x"), field, "1")
	}
	want := map[string]string{"": "one /x", "X-Beta": "two /x", "X-Raw": "one /raw"}
	for round := range 2 {
		for field, text := range want {
			if a := ask(field); a.Text != text || isHit(a) != (round == 1) {
				t.Errorf("round %d, %q: %q, %s", round, field, a.Text, a.Header.Get("Cache-Status"))
			}
		}
	}

	// The PUT goes to a route without a cache. It invalidates the URL for all
	// routes.
	send(t, client, newRequest(t, http.MethodPut, p.URL("/x"), nil))
	for field := range want {
		if a := ask(field); isHit(a) {
			t.Errorf("%q outlives a PUT", field)
		}
	}
}

// TestCacheRoutes_RulesActOnEachAnswer has header rules that change answers
// from memory too, each time.
func TestCacheRoutes_RulesActOnEachAnswer(t *testing.T) {
	t.Parallel()
	b := echoing(t, "one")
	p := pillion.Start(t, "LB_BACKENDS="+b.Target(), "LB_CACHE=origin",
		"LB_CORS_ORIGINS=https://a.example;https://b.example",
		"LB_RESPONSE_HEADERS=-X-Powered-By;+X-Added=1", "LB_CACHE_IGNORE_QUERY=utm_*", "LB_ROUTE__API=/api/*",
		"LB_REWRITE__API=/*")
	for version, client := range clients(t) {
		for n, origin := range []string{"https://a.example", "https://b.example", "", "https://a.example"} {
			target := p.URL("/api/" + version[5:6] + "?a=1&utm_source=" + strings.Repeat("x", n))
			a := get(t, client, target, "Origin", origin)
			if a.Text != "one /"+version[5:6]+"?a=1" || isHit(a) != (n > 0) {
				t.Errorf("%s, %q: %q, %s", version, origin, a.Text, a.Header.Get("Cache-Status"))
			}
			if len(a.Header["X-Added"]) != 1 || a.Header["X-Powered-By"] != nil ||
				a.Header.Get("Access-Control-Allow-Origin") != origin {
				t.Errorf("%s, %q: %v", version, origin, a.Header)
			}
		}
	}
}
