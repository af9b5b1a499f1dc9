package test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// With one backend no session has to be kept, and a cookie would prevent shared
// caches from storing answers.
func TestAffinity_NoCookieWhileOnlyOneNameWasEverPublished(t *testing.T) {
	t.Parallel()
	public := func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Cache-Control", "public, max-age=60") }
	one, two := backend.Start(t, "one", public), backend.Start(t, "two", public)
	list := filepath.Join(t.TempDir(), "list")
	publish := func(text string) {
		if err := os.WriteFile(list+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(list+".new", list); err != nil {
			t.Fatal(err)
		}
	}
	publish(one.Target())
	p := pillion.Start(t, affine, "LB_BACKENDS=file://"+list)
	client := newClient(t)
	for range 5 {
		a := get(t, client, p.URL("/"))
		if issued(a) != nil || a.Header.Get("Cache-Control") != "public, max-age=60" {
			t.Fatalf("over one backend: %v", a.Header)
		}
	}

	publish(one.Target() + "\n" + two.Target())
	await.Until(t, "there are cookies over two backends", func() bool { return issued(get(t, client, p.URL("/"))) != nil })
	publish(two.Target())
	await.Until(t, "one is gone", func() bool { return count(p, saying("backend left", "one")) > 0 })
	if issued(get(t, client, p.URL("/"))) == nil {
		t.Error("no cookie over the one that is left of two")
	}
}

func TestAffinity_ASecureCookieOverHTTPIsSaidOnce(t *testing.T) {
	t.Parallel()
	servers := backend.Backends(backend.StartMany(t, 2)...)
	for want, site := range map[int]string{1: "none", 0: "lax"} {
		p := pillion.Start(t, affine, servers, "LB_AFFINITY_SAMESITE="+site)
		for range 3 {
			newSession(t, newClient(t), p.URL("/"))
		}
		p.Signal(terminate)
		p.Wait(await.Limit)
		n := count(p, func(l binary.Line) bool {
			return strings.HasPrefix(l.String("message"), "browsers drop the affinity cookie: ")
		})
		if n != want {
			t.Errorf("SameSite %s: %d lines, want %d", site, n, want)
		}
	}
}
