package test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// startAll starts backends that do the same.
func startAll(t *testing.T, n int, handle http.HandlerFunc) []*backend.Server {
	t.Helper()
	servers := make([]*backend.Server, n)
	for i := range servers {
		servers[i] = backend.Start(t, fmt.Sprint("app-", i), handle)
	}

	return servers
}

// A backend that begins to fail half of its requests after a busy time is
// judged by its last two seconds, not by the many answers before them.
func TestEject_ABusyTimeBeforeHidesNothing(t *testing.T) {
	t.Parallel()
	for _, before := range []int{20, 200, 1000} { // requests a second
		t.Run(fmt.Sprint(before, " a second"), func(t *testing.T) {
			t.Parallel()
			var failing atomic.Bool
			var n atomic.Int64
			turning := backend.Start(t, "turning", func(w http.ResponseWriter, _ *http.Request) {
				if failing.Load() && n.Add(1)%2 == 0 {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			})
			good := backend.StartMany(t, 2)
			p := pillion.Start(t, append(watched, backend.Backends(turning, good[0], good[1]))...)

			c := (&clientLoad{address: p.Address, callers: 8, every: time.Second / time.Duration(before),
				ask: asking("GET", "/")}).start(t)
			passes(t, lasting(11*time.Second, time.Minute)) // the long window is full of successes
			if count(p, saying("backend ejected", "")) > 0 {
				t.Fatal("ejected although nothing failed")
			}

			// From here on the load is one at which both windows have enough to
			// judge by.
			more := (&clientLoad{address: p.Address, callers: 8, every: time.Second / 100, ask: asking("GET", "/")}).start(t)
			failing.Store(true)
			begun := time.Now()
			p.Line("an ejection", saying("backend ejected", "turning"))
			took := time.Since(begun)
			more.Stop()
			c.Stop()

			t.Logf("ejected after %v", took)
			if took > 3*time.Second {
				t.Errorf("ejected after %v, want 3 s at the most", took)
			}
		})
	}
}

// One client who knows a target that fails takes no backend from the others,
// nor their sessions, whatever the way in which it fails.
func TestEject_OneClientsBrokenTargetIsItsOwn(t *testing.T) {
	t.Parallel()
	for _, status := range []int{500, 501, 505, 599} {
		for name, fields := range map[string][]string{"HTTP/1": nil, "a trusted proxy": {"X-Forwarded-For", "192.0.2.9"}} {
			t.Run(fmt.Sprint(status, " by ", name), func(t *testing.T) {
				t.Parallel()
				servers := startAll(t, 5, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/broken" {
						w.WriteHeader(status)
					}
				})
				p := pillion.Start(t, append(watched, backend.Backends(servers...), "LB_TRUSTED_PROXIES=1",
					"LB_SESSION_AFFINITY=cookie")...)

				attacker, victim := newClient(t), newClient(t)
				first := get(t, victim, p.URL("/"), "X-Forwarded-For", "192.0.2.1")
				session := strings.SplitN(first.Header.Get("Set-Cookie"), ";", 2)[0]
				for range 400 {
					wantStatus(t, get(t, attacker, p.URL("/broken"), fields...), status)
				}

				if n := count(p, saying("backend ejected", "")); n > 0 {
					t.Errorf("%d backends were ejected", n)
				}
				for range 20 {
					a := get(t, victim, p.URL("/"), "Cookie", session, "X-Forwarded-For", "192.0.2.1")
					if a.Backend() != first.Backend() || a.StatusCode != http.StatusOK {
						t.Fatalf("the session of %s went to %s with %d", first.Backend(), a.Backend(), a.StatusCode)
					}
				}
			})
		}
	}
}

// The same client may have a session, so that all of its errors are those of
// one backend, which then stands out among the others.
func TestEject_OneClientsSessionTakesNoBackend(t *testing.T) {
	t.Parallel()
	for _, status := range []int{500, 501, 505, 599} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			servers := startAll(t, 5, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/broken" {
					w.WriteHeader(status)
				}
			})
			p := pillion.Start(t, append(watched, backend.Backends(servers...), affine)...)

			attacker, others := newClient(t), newClient(t)
			own := sessionOn(t, attacker, p.URL("/"), "app-0")
			for range 150 {
				wantStatus(t, get(t, attacker, p.URL("/broken"), "Cookie", own.Cookie()), status)
				wantStatus(t, get(t, others, p.URL("/")), http.StatusOK)
				wantStatus(t, get(t, others, p.URL("/")), http.StatusOK)
			}

			if n := count(p, saying("backend ejected", "")); n > 0 {
				t.Errorf("%d backends were ejected", n)
			}
			wantKept(t, attacker, p.URL("/"), own, 5)
		})
	}
}

// Backends that answer 503 are ejected by status alone, and half of them stay.
func TestEject_ByStatusAloneHalfStay(t *testing.T) {
	t.Parallel()
	var bad atomic.Bool
	servers := startAll(t, 6, func(w http.ResponseWriter, _ *http.Request) {
		if bad.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	p := pillion.Start(t, append(watched, backend.Backends(servers...), "LB_EJECT_TIME=1m")...)

	client := newClient(t)
	get(t, client, p.URL("/"))
	bad.Store(true)
	await.Until(t, "three backends are ejected", func() bool {
		get(t, client, p.URL("/"))
		return len(everEjected(p)) >= 3
	})
	for range 300 {
		get(t, client, p.URL("/"))
	}
	if names := everEjected(p); len(names) != 3 {
		t.Errorf("%q of 6 were ejected by status, want half", names)
	}
}

// everEjected returns the names of the backends that were ejected at least
// once. Where no other backend is any better, a trial follows each second, and
// its failure is one more line about the same backend.
func everEjected(p *binary.Process) []string {
	var names []string
	for _, l := range p.Lines() {
		if name := l.String("backend"); saying("backend ejected", "")(l) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}

	return names
}
