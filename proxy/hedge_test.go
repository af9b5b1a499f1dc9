package proxy

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// after answers with a status when a time has passed, unless its request ends
// before.
func after(d time.Duration, status int, body string) upstreamFunc {
	return func(r *http.Request, _ *wire.Call) (*http.Response, error) {
		if r.Context().Err() != nil {
			return nil, &wire.Error{Outcome: wire.NotSent, Phase: wire.Write, Client: wire.Gone, Err: context.Canceled}
		}
		select {
		case <-time.After(d):
			return answer(status, body), nil
		case <-r.Context().Done():
			return nil, &wire.Error{Outcome: wire.NoAnswer, Phase: wire.Head, Client: wire.Gone, Err: context.Canceled}
		}
	}
}

// failing breaks when a time has passed.
func failing(d time.Duration, text string) upstreamFunc {
	return func(*http.Request, *wire.Call) (*http.Response, error) {
		time.Sleep(d)
		return nil, &wire.Error{Outcome: wire.NoAnswer, Phase: wire.Head, Err: errors.New(text)}
	}
}

// inOrder gives the attempts of one request what each is served by, whichever
// endpoint they go to.
func inOrder(attempts ...upstreamFunc) (upstreams func(string) upstreamFunc, sent *atomic.Int32, to *sync.Map) {
	sent, to = new(atomic.Int32), new(sync.Map)
	return func(name string) upstreamFunc {
		return func(r *http.Request, c *wire.Call) (*http.Response, error) {
			n := int(sent.Add(1)) - 1
			to.Store(name, n)
			return attempts[min(n, len(attempts)-1)](r, c)
		}
	}, sent, to
}

func TestHedge_TheFirstAnswerWins(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		attempts []upstreamFunc
		method   string
		body     string
		backends []string
		env      []string
		want     string // the answer
		status   int
		sent     int
		result   hedgeResult
		took     time.Duration
	}{
		"soon enough": {attempts: []upstreamFunc{after(99*ms, 200, "first")}, want: "first", sent: 1, took: 99 * ms},
		"the second": {attempts: []upstreamFunc{after(time.Hour, 200, "first"), after(ms, 200, "second")},
			want: "second", sent: 2, result: hedgeWon, took: 101 * ms},
		"the first": {attempts: []upstreamFunc{after(150*ms, 200, "first"), after(time.Hour, 200, "second")},
			want: "first", sent: 2, result: hedgeLost, took: 150 * ms},
		"HEAD": {attempts: []upstreamFunc{after(time.Hour, 200, ""), after(ms, 204, "")}, method: "HEAD",
			status: 204, sent: 2, result: hedgeWon, took: 101 * ms},
		"OPTIONS": {attempts: []upstreamFunc{after(time.Hour, 200, ""), after(ms, 204, "")}, method: "OPTIONS",
			status: 204, sent: 2, result: hedgeWon, took: 101 * ms},
		"not a POST": {attempts: []upstreamFunc{after(time.Second, 200, "first")}, method: "POST", want: "first",
			sent: 1, took: time.Second},
		"not a PUT": {attempts: []upstreamFunc{after(time.Second, 200, "first")}, method: "PUT", want: "first",
			sent: 1, took: time.Second},
		"not with a body": {attempts: []upstreamFunc{after(time.Second, 200, "first")}, body: "x", want: "first", sent: 1,
			took: time.Second},
		"no second endpoint": {attempts: []upstreamFunc{after(time.Second, 200, "first")}, backends: []string{"a"},
			want: "first", sent: 1, result: hedgeAlone, took: time.Second},
		"an error counts too": {attempts: []upstreamFunc{after(time.Hour, 200, "first"), after(ms, 500, "second")},
			want: "second", status: 500, sent: 2, result: hedgeWon, took: 101 * ms},
		"the first breaks": {attempts: []upstreamFunc{failing(110*ms, "first"), after(50*ms, 200, "second")},
			env: []string{"LB_RETRIES=0"}, want: "second", sent: 2, result: hedgeWon, took: 150 * ms},
		"the second breaks": {attempts: []upstreamFunc{after(150*ms, 200, "first"), failing(ms, "second")}, want: "first",
			sent: 2, result: hedgeLost, took: 150 * ms},
		"both break": {attempts: []upstreamFunc{failing(150*ms, "first"), failing(ms, "second")},
			env: []string{"LB_RETRIES=0"}, status: 502, sent: 2, result: hedgeLost, took: 150 * ms},
		"LB_RETRY_STATUS": {attempts: []upstreamFunc{after(150*ms, 200, "first"), after(ms, 503, "second")},
			env: []string{"LB_RETRY_STATUS=503"}, want: "first", sent: 2, result: hedgeLost, took: 150 * ms},
		"LB_RETRY_STATUS of the only answer": {attempts: []upstreamFunc{failing(150*ms, "first"), after(ms, 503, "second")},
			env: []string{"LB_RETRY_STATUS=503", "LB_RETRIES=0"}, want: "second", status: 503, sent: 2, result: hedgeWon,
			took: 150 * ms},
		"no place at a second endpoint": {attempts: []upstreamFunc{after(150*ms, 200, "first")}, backends: []string{"a"},
			env: []string{"LB_MAX_IN_FLIGHT=1"}, want: "first", sent: 1, result: hedgeAlone, took: 150 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				upstreams, sent, to := inOrder(c.attempts...)
				var record Record
				p := testProxy(t, Options{Access: func(r *Record) { record = *r }}, upstreams,
					append(c.env, "LB_HEDGE=100ms", "LB_ACCESS_LOG=on")...)
				if c.backends == nil {
					c.backends = []string{"a", "b"}
				}
				p.Update(named(c.backends...))
				if c.method == "" {
					c.method = "GET"
				}
				if c.status == 0 {
					c.status = 200
				}

				r := request(c.method, "/")
				if c.body != "" {
					r = httptest.NewRequest(c.method, "/", strings.NewReader(c.body))
				}
				w, begun := httptest.NewRecorder(), time.Now()
				p.ServeHTTP(w, r)
				if took := time.Since(begun); took != c.took {
					t.Errorf("it took %v, want %v", took, c.took)
				}
				if w.Code != c.status || c.want != "" && w.Body.String() != c.want {
					t.Errorf("%d %q, want %d %q", w.Code, w.Body, c.status, c.want)
				}
				p.background.stop()
				if n := int(sent.Load()); n != c.sent || record.Attempts != c.sent || record.Hedge != string(c.result) {
					t.Errorf("%d attempts, %d in the record, result %q; want %d, %q", n, record.Attempts, record.Hedge, c.sent,
						c.result)
				}
				if c.sent == 2 {
					endpoints := 0
					to.Range(func(any, any) bool { endpoints++; return true })
					if endpoints != 2 {
						t.Error("both attempts went to one endpoint")
					}
				}
				for _, name := range c.backends {
					if st := stateOf(t, p, name); st.InFlight != 0 {
						t.Errorf("%s has %d in flight", name, st.InFlight)
					}
				}
			})
		})
	}
}

// The attempt that lost is ended, and says nothing about its endpoint.
func TestHedge_TheLoserIsEndedAndBlamedForNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		upstreams, _, _ := inOrder(after(time.Hour, 200, "first"), after(time.Millisecond, 200, "second"))
		p := testProxy(t, Options{}, upstreams, "LB_HEDGE=100ms", "LB_EJECT_ERRORS=1")
		p.Update(named("a", "b"))
		p.ServeHTTP(httptest.NewRecorder(), request("GET", "/"))
		synctest.Wait()
		for _, name := range []string{"a", "b"} {
			if st := stateOf(t, p, name); st.InFlight != 0 || st.Failures != 0 || st.Ejections != 0 {
				t.Errorf("%s: %d in flight, %d failures, %d ejections", name, st.InFlight, st.Failures, st.Ejections)
			}
		}
	})
}

// A request of a session stays where the session is.
func TestHedge_NeverForASession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		upstreams, sent, _ := inOrder(after(0, 200, ""), after(time.Second, 200, ""))
		p := testProxy(t, Options{}, upstreams, "LB_HEDGE=100ms", "LB_SESSION_AFFINITY=cookie",
			"LB_AFFINITY_SECRET=0123456789abcdef0123456789abcdef")
		p.Update(named("a", "b"))
		w := httptest.NewRecorder()
		p.ServeHTTP(w, request("GET", "/"))
		set := w.Result().Cookies()
		if len(set) != 1 {
			t.Fatalf("%v", w.Header())
		}
		r := request("GET", "/")
		r.AddCookie(&http.Cookie{Name: set[0].Name, Value: set[0].Value})
		p.ServeHTTP(httptest.NewRecorder(), r)
		if n := sent.Load(); n != 2 {
			t.Errorf("%d attempts for two requests", n)
		}
	})
}

// The session begins at the endpoint whose answer the client got.
func TestHedge_TheSessionIsTheWinners(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		upstreams, sent, to := inOrder(after(time.Hour, 200, ""), after(0, 200, ""))
		p := testProxy(t, Options{}, upstreams, "LB_HEDGE=100ms", "LB_SESSION_AFFINITY=cookie",
			"LB_AFFINITY_SECRET=0123456789abcdef0123456789abcdef")
		p.Update(named("a", "b"))
		w := httptest.NewRecorder()
		p.ServeHTTP(w, request("GET", "/"))
		var winner string
		to.Range(func(name, n any) bool {
			if n == 1 {
				winner = name.(string)
			}
			return true
		})
		r := request("GET", "/")
		for _, c := range w.Result().Cookies() {
			r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
		}
		p.ServeHTTP(httptest.NewRecorder(), r)
		if n, _ := to.Load(winner); n != 2 || sent.Load() != 3 {
			t.Errorf("the next request went to another endpoint than %s", winner)
		}
	})
}

// When everything is slow, hedges are a share of the requests, not as many.
func TestHedge_IsPaidFromTheRetryBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		upstreams, sent, _ := inOrder(after(time.Second, 200, ""))
		p := testProxy(t, Options{}, upstreams, "LB_HEDGE=10ms", "LB_RETRY_BUDGET=10%")
		p.Update(named("a", "b", "c"))
		const requests = 2000
		var clients sync.WaitGroup
		for range requests {
			clients.Go(func() { p.ServeHTTP(httptest.NewRecorder(), request("GET", "/")) })
			time.Sleep(time.Millisecond)
		}
		clients.Wait()
		p.background.stop()
		// a tenth, and ten for each of the ten seconds that the budget looks at
		if n := sent.Load(); n < requests+200 || n > requests+requests/10+100 {
			t.Errorf("%d attempts for %d requests", n, requests)
		}
	})
}

// No hedge waits in the queue where clients wait.
func TestHedge_WaitsInNoQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		upstreams, sent, _ := inOrder(after(time.Second, 200, ""))
		p := testProxy(t, Options{}, upstreams, "LB_HEDGE=10ms", "LB_MAX_IN_FLIGHT=1", "LB_QUEUE_SIZE=10")
		p.Update(named("a", "b"))
		var clients sync.WaitGroup
		for range 2 {
			clients.Go(func() { p.ServeHTTP(httptest.NewRecorder(), request("GET", "/")) })
		}
		time.Sleep(500 * time.Millisecond)
		if n, waiting := sent.Load(), p.service.Waiting(); n != 2 || waiting != 0 {
			t.Errorf("%d attempts, %d in the queue", n, waiting)
		}
		clients.Wait()
		p.background.stop()
	})
}

// A client that leaves ends both attempts.
func TestHedge_ADepartedClientEndsBoth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		upstreams, sent, _ := inOrder(after(time.Hour, 200, ""))
		var record Record
		p := testProxy(t, Options{Access: func(r *Record) { record = *r }}, upstreams, "LB_HEDGE=10ms")
		p.Update(named("a", "b"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		serveDeparting(p, httptest.NewRecorder(), request("GET", "/").WithContext(ctx))
		p.background.stop()
		if record.Status != statusClientGone || sent.Load() != 2 {
			t.Errorf("status %d after %d attempts", record.Status, sent.Load())
		}
		for _, name := range []string{"a", "b"} {
			if st := stateOf(t, p, name); st.InFlight != 0 || st.Failures != 0 {
				t.Errorf("%s: %d in flight, %d failures", name, st.InFlight, st.Failures)
			}
		}
	})
}

// Interim answers of the first attempt reach the client while it waits.
func TestHedge_PassesInterimAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hints := func(r *http.Request, c *wire.Call) (*http.Response, error) {
			if c.Informational != nil {
				c.Informational(103, http.Header{"Link": {"</a.css>"}})
			}
			return after(time.Second, 200, "first")(r, c)
		}
		upstreams, _, _ := inOrder(hints)
		p := testProxy(t, Options{}, upstreams, "LB_HEDGE=10ms")
		p.Update(named("a", "b"))
		w := &interimRecorder{ResponseRecorder: httptest.NewRecorder()}
		p.ServeHTTP(w, request("GET", "/"))
		if w.interim != 1 || w.Code != 200 || w.Header().Get("Link") != "" {
			t.Errorf("%d interim answers, then %d %v", w.interim, w.Code, w.Header())
		}
		p.background.stop()
	})
}

type interimRecorder struct {
	*httptest.ResponseRecorder
	interim int
}

func (w *interimRecorder) WriteHeader(code int) {
	if code == 103 && w.Header().Get("Link") == "</a.css>" {
		w.interim++
		return
	}
	w.ResponseRecorder.WriteHeader(code)
}

// Two loops, one exchange: the race detector looks on.
func TestHedge_ManyAtOnce(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	upstreams := func(string) upstreamFunc {
		return func(r *http.Request, c *wire.Call) (*http.Response, error) {
			return after(time.Duration(n.Add(7)%5)*time.Millisecond, 200, "body")(r, c)
		}
	}
	p := testProxy(t, Options{}, upstreams, "LB_HEDGE=2ms", "LB_RETRY_BUDGET=100%", "LB_SESSION_AFFINITY=cookie",
		"LB_ACCESS_LOG=on")
	p.Update(named("a", "b", "c"))
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 150 {
				w := httptest.NewRecorder()
				r := request("GET", "/")
				r.Header.Set("X-Forwarded-For", "192.0.2.1")
				p.ServeHTTP(w, r)
				if w.Code != 200 || w.Body.String() != "body" {
					t.Errorf("%d %q", w.Code, w.Body)
				}
			}
		})
	}
	clients.Wait()
	p.background.stop()
	for _, name := range []string{"a", "b", "c"} {
		if st := stateOf(t, p, name); st.InFlight != 0 || st.Failures != 0 {
			t.Errorf("%s: %d in flight, %d failures", name, st.InFlight, st.Failures)
		}
	}
}
