package routes

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/otlp"
)

// hanging starts a backend that answers with body. The first request for /slow
// at any such backend, and every request for /both, gets no answer. These
// backends add their name to gone when the client has gone.
func hanging(t *testing.T, name string, first *atomic.Bool, gone *await.Values[string], body string) *backend.Server {
	t.Helper()
	return backend.Start(t, name, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" && first.CompareAndSwap(true, false) || r.URL.Path == "/both" {
			<-r.Context().Done()
			gone.Add(name)
			return
		}
		_, _ = io.WriteString(w, body)
	})
}

// If the first backend hangs, the answer comes from a second one, and the
// request to the first one is cancelled. This holds for both versions of HTTP,
// on both sides.
func TestHedge_AnswersFromASecondEndpoint(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("0123456789abcdef", 64<<10) // 1 MiB, which HTTP/1.1 splices
	for _, protocol := range []string{"http1", "h2c"} {
		for _, http2 := range []bool{false, true} {
			var first atomic.Bool
			gone := &await.Values[string]{}
			a, b := hanging(t, "a", &first, gone, large), hanging(t, "b", &first, gone, large)
			p := pillion.Start(t, list("LB_BACKENDS", a, b), "LB_PROTOCOL="+protocol, "LB_HEDGE=50ms",
				"LB_STATUS_TOKEN="+statusToken,
				"LB_EJECT_ERRORS=1")
			c := clientFor(t, http2)
			for range 5 {
				first.Store(true)
				response, err := c.Get(p.URL("/slow"))
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(response.Body)
				response.Body.Close()
				if err != nil || response.StatusCode != 200 || string(body) != large {
					t.Errorf("%s, HTTP/2 %v: status %d, %d bytes, error %v, want 200 and %d bytes", protocol, http2,
						response.StatusCode, len(body), err, len(large))
				}
			}
			if !gone.Wait(await.Limit, nil, func(all []string) bool { return len(all) == 5 }) {
				t.Errorf("%s, HTTP/2 %v: %d slower requests were cancelled, want 5", protocol, http2, gone.Len())
			}
			await.Until(t, "the counters agree", func() bool {
				return counted(t, p, "lb_hedges", `"won"`) == 5 && counted(t, p, "lb_attempts", `"hedge_lost"`) == 5 &&
					counted(t, p, "lb_attempts", `lb_pick_reason="hedge"`, `"answered"`) == 5
			})
			state := get(t, p, "/.lb/state.json", "Authorization: Bearer "+statusToken).text
			if strings.Contains(state, `"ejected"`) {
				t.Errorf("an endpoint is ejected, want none: %s", state)
			}
		}
	}
}

// When a client disconnects, both requests are cancelled.
func TestHedge_ADisconnectCancelsBothRequests(t *testing.T) {
	t.Parallel()
	var first atomic.Bool
	gone := &await.Values[string]{}
	a, b := hanging(t, "a", &first, gone, ""), hanging(t, "b", &first, gone, "")
	p := pillion.Start(t, list("LB_BACKENDS", a, b), "LB_HEDGE=10ms")
	for _, http2 := range []bool{false, true} {
		before := gone.Len()
		ctx, cancel := context.WithCancel(t.Context())
		r, _ := http.NewRequestWithContext(ctx, "GET", p.URL("/both"), nil)
		go func() {
			await.Within(await.Limit, func() bool { return a.Hits()+b.Hits() >= before+2 })
			cancel()
		}()
		if response, err := clientFor(t, http2).Do(r); err == nil {
			response.Body.Close()
			t.Error("the client got an answer, want none")
		}
		if !gone.Wait(await.Limit, nil, func(all []string) bool { return len(all) == before+2 }) {
			t.Errorf("HTTP/2 %v: %d requests were cancelled, want %d", http2, gone.Len(), before+2)
		}
	}
}

// The trace has both attempts below one request.
func TestHedge_SpansShowBothAttempts(t *testing.T) {
	t.Parallel()
	var first atomic.Bool
	first.Store(true)
	gone := &await.Values[string]{}
	receiver := otlp.Start(t)
	a, b := hanging(t, "a", &first, gone, "x"), hanging(t, "b", &first, gone, "x")
	p := pillion.Start(t, append(receiver.Environment(), list("LB_BACKENDS", a, b), "LB_HEDGE=20ms")...)
	const id = "0af7651916cd43dd8448eb211c80319c"
	get(t, p, "/slow", "Traceparent: 00-"+id+"-b7ad6b7169203331-01")
	var server *otlp.Span
	reasons := map[any]int{}
	for _, span := range receiver.Trace(t, id, 3) {
		if span.Server {
			server = span
			continue
		}
		if span.Failed {
			t.Errorf("the span of an attempt has failed, want none: %v", span.Attributes)
		}
		reasons[span.Attributes["lb.pick.reason"]]++
	}
	if server == nil || server.Attributes["lb.hedge.result"] != "won" || server.Attributes["lb.attempts"] != int64(2) ||
		reasons["hedge"] != 1 || len(reasons) != 2 {
		t.Errorf("server span %v with attempts by reason %v, want a hedge that won and 2 attempts", server, reasons)
	}
}

// A request of the cache may be hedged too, and its answer is stored.
func TestHedge_AppliesToRequestsOfTheCache(t *testing.T) {
	t.Parallel()
	var first atomic.Bool
	first.Store(true)
	serve := func(name string) *backend.Server {
		return backend.Start(t, name, func(w http.ResponseWriter, r *http.Request) {
			if first.CompareAndSwap(true, false) {
				<-r.Context().Done()
				return
			}
			w.Header().Set("Cache-Control", "public, max-age=60")
			_, _ = io.WriteString(w, "kept")
		})
	}
	a, b := serve("a"), serve("b")
	p := pillion.Start(t, list("LB_BACKENDS", a, b), "LB_HEDGE=20ms", "LB_CACHE=origin")
	for range 3 {
		if got := get(t, p, "/"); got.StatusCode != 200 || got.text != "kept" {
			t.Errorf("status %d %q, want 200 \"kept\"", got.StatusCode, got.text)
		}
	}
	if n := a.Hits() + b.Hits(); n != 2 {
		t.Errorf("%d requests reached backends, want 2", n)
	}
}

// Many requests at once, by both versions of HTTP, with backends of random
// speed. The race detector watches the process.
func TestHedge_ManyAtOnce(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	serve := func(name string) *backend.Server {
		return backend.Start(t, name, func(w http.ResponseWriter, r *http.Request) {
			if wait := time.Duration(n.Add(1)%7) * time.Millisecond; wait > 0 {
				select {
				case <-time.After(wait):
				case <-r.Context().Done():
					return
				}
			}
			_, _ = io.WriteString(w, "whole")
		})
	}
	for _, protocol := range []string{"http1", "h2c"} {
		p := pillion.Start(t, list("LB_BACKENDS", serve("a"), serve("b"), serve("c")), "LB_PROTOCOL="+protocol,
			"LB_HEDGE=3ms",
			"LB_RETRY_BUDGET=100%", "LB_STATUS_TOKEN="+statusToken)
		var clients sync.WaitGroup
		for i := range 12 {
			c := clientFor(t, i%2 == 0)
			clients.Go(func() {
				for range 40 {
					response, err := c.Get(p.URL("/"))
					if err != nil {
						t.Error(err)
						return
					}
					body, _ := io.ReadAll(response.Body)
					response.Body.Close()
					if response.StatusCode != 200 || string(body) != "whole" {
						t.Errorf("status %d %q, want 200 \"whole\"", response.StatusCode, body)
					}
				}
			})
		}
		clients.Wait()
		await.Until(t, "nothing is in flight", func() bool {
			return !strings.Contains(get(t, p, "/.lb/state.json", "Authorization: Bearer "+statusToken).text, `"in_flight":1`)
		})
	}
}
