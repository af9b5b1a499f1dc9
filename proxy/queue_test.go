package proxy

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/proxy/affinity"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// heldProxy is a proxy whose endpoints answer when told to, and notes in which
// order requests got there.
type heldProxy struct {
	p       *Proxy
	mu      sync.Mutex
	order   []string
	release map[string]chan struct{}
	done    sync.WaitGroup
}

func newHeldProxy(t *testing.T, names []string, env ...string) *heldProxy {
	c := &heldProxy{release: make(map[string]chan struct{})}
	for _, name := range names {
		c.release[name] = make(chan struct{})
	}

	c.p = testProxy(t, Options{}, func(name string) upstreamFunc {
		return func(r *http.Request, _ *wire.Call) (*http.Response, error) {
			c.mu.Lock()
			c.order = append(c.order, r.URL.Path+"@"+name)
			c.mu.Unlock()
			<-c.release[name]
			return answer(200, "", "X-Backend", name), nil
		}
	}, env...)
	c.p.Update(named(names...))

	return c
}

// send sends a request and returns where its answer will be.
func (c *heldProxy) send(path string, fields ...string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := request("GET", path, fields...)
	c.done.Go(func() { c.p.ServeHTTP(w, r) })
	synctest.Wait()
	return w
}

func (c *heldProxy) arrived() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.order...)
}

// request is one as a server makes it.
func request(method, path string, fields ...string) *http.Request {
	r := httptest.NewRequest(method, "http://shop.example"+path, nil)
	r.RequestURI = path
	r.RemoteAddr = "192.0.2.7:1234"
	for i := 0; i+1 < len(fields); i += 2 {
		r.Header.Add(fields[i], fields[i+1])
	}

	return r
}

func TestQueue_ServesInOrderOfArrival(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newHeldProxy(t, []string{"a"}, "LB_MAX_IN_FLIGHT=2", "LB_QUEUE_SIZE=10", "LB_QUEUE_TIMEOUT=1h")
		for i := range 8 {
			c.send(fmt.Sprintf("/%d", i))
		}
		if got := c.arrived(); len(got) != 2 {
			t.Fatalf("%v are in flight", got)
		}

		for range 8 {
			c.release["a"] <- struct{}{}
			synctest.Wait()
		}

		c.done.Wait()
		for i, got := range c.arrived() {
			if got != fmt.Sprintf("/%d@a", i) {
				t.Errorf("%v", c.arrived())
				break
			}
		}

		if st := stateOf(t, c.p, "a"); st.InFlight != 0 || c.p.service.Waiting() != 0 {
			t.Errorf("left behind: %+v", st)
		}
	})
}

func TestQueue_FullOrTooLongIs503WithRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newHeldProxy(t, []string{"a"}, "LB_MAX_IN_FLIGHT=1", "LB_QUEUE_SIZE=2")
		began := time.Now()
		c.send("/0")
		c.send("/1")
		c.send("/2")
		full := c.send("/3")
		if full.Code != 503 || full.Header().Get("Retry-After") == "" {
			t.Errorf("a full queue answers %d %v", full.Code, full.Header())
		}

		time.Sleep(time.Second)
		synctest.Wait()
		late := c.send("/4")
		if n := c.p.service.Waiting(); n != 1 || time.Since(began) != time.Second {
			t.Errorf("%d wait", n)
		}

		close(c.release["a"])
		c.done.Wait()
		if late.Code != 200 {
			t.Error(late.Code)
		}
	})
}

// The queue's own limit is a refusal; the request's deadline is a time-out.
func TestQueue_TheRequestsDeadlineInTheQueueIs504(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newHeldProxy(t, []string{"a"}, "LB_MAX_IN_FLIGHT=1", "LB_QUEUE_TIMEOUT=3s", "LB_REQUEST_TIMEOUT=2s")
		records := make(chan Record, 2)
		c.p.access = func(r *Record) { records <- *r }
		c.send("/0")
		began := time.Now()
		late := c.send("/1")
		if r := <-records; late.Code != 504 || r.Ended != "us/queue" || r.Queue != 2*time.Second ||
			time.Since(began) != 2*time.Second {
			t.Errorf("%d after %v: %+v", late.Code, time.Since(began), r)
		}

		close(c.release["a"])
		c.done.Wait()
	})
}

// What a request waits before its attempt is not the backend's time.
func TestQueue_TheAttemptBeginsWhenTheWaitingEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var began []time.Time
		p := testProxy(t, Options{}, func(string) upstreamFunc {
			return func(_ *http.Request, c *wire.Call) (*http.Response, error) {
				began = append(began, c.Began)
				time.Sleep(2 * time.Second)
				return answer(200, ""), nil
			}
		}, "LB_MAX_IN_FLIGHT=1", "LB_QUEUE_TIMEOUT=1h")
		start := time.Now()
		var done sync.WaitGroup
		for range 2 {
			done.Go(func() { p.ServeHTTP(httptest.NewRecorder(), request("GET", "/")) })
		}

		time.Sleep(3 * time.Second)
		p.Update(named("a"))
		done.Wait()
		if first, second := began[0].Sub(start), began[1].Sub(start); first != 3*time.Second || second != 5*time.Second {
			t.Errorf("the attempts began after %v and %v", first, second)
		}
	})
}

func TestQueue_FreePlaceElsewhereIsTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newHeldProxy(t, []string{"a", "b", "c"}, "LB_MAX_IN_FLIGHT=3")
		for i := range 9 {
			c.send(fmt.Sprintf("/%d", i))
		}

		for _, st := range c.p.Backends() {
			if st.InFlight != 3 {
				t.Errorf("%s has %d", st.Name, st.InFlight)
			}
		}

		for _, ch := range c.release {
			close(ch)
		}

		c.done.Wait()
	})
}

// Who waits follows what discovery and probes say meanwhile: to an endpoint
// that came, or came back, and to none that left.
func TestQueue_WaitersFollowTheEndpoints(t *testing.T) {
	t.Parallel()
	vanish := func(c *heldProxy, _ func(bool, int)) { c.p.Update(named("b")) }
	for name, c := range map[string]struct {
		happens func(c *heldProxy, atA func(ok bool, n int))
		frees   string // an endpoint whose request ends then; "" for none
		arrives bool
	}{
		"it vanished":       {vanish, "a", false},
		"another one stays": {vanish, "b", true},
		"one joined":        {func(c *heldProxy, _ func(bool, int)) { c.p.Update(named("a", "b", "c")) }, "", true},
		"it was ejected":    {func(_ *heldProxy, atA func(bool, int)) { atA(false, 5) }, "a", false},
		"its address changed": {func(c *heldProxy, _ func(bool, int)) {
			set := named("a", "b")
			set[0].Address = "127.0.0.1:2"
			c.p.Update(set)
		}, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				held := newHeldProxy(t, []string{"a", "b", "c"}, "LB_MAX_IN_FLIGHT=1", "LB_QUEUE_TIMEOUT=1h")
				held.p.Update(named("a", "b"))
				atA := reporter(t, held.p, "a")
				held.send("/0")
				held.send("/1")
				held.send("/waits")
				time.Sleep(time.Millisecond)
				c.happens(held, atA)
				if c.frees != "" {
					held.release[c.frees] <- struct{}{}
				}

				synctest.Wait()
				if got := held.arrived(); len(got) == 3 != c.arrives {
					t.Errorf("%v", got)
				}
				for _, ch := range held.release {
					close(ch)
				}

				held.done.Wait()
			})
		})
	}
}

// A session waits for its backend, not for the server that the backend was when
// it came.
func TestQueue_SessionFollowsItsBackendToAnotherAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newHeldProxy(t, []string{"a", "b"}, "LB_MAX_IN_FLIGHT=1", "LB_QUEUE_TIMEOUT=1h", "LB_SESSION_AFFINITY=cookie",
			"LB_AFFINITY_STRICT=true")
		field, value := session(t, c.p, "a")
		c.send("/0", field, value)
		c.send("/waits", field, value)
		set := named("a", "b")
		set[0].Address = "127.0.0.1:2"
		c.p.Update(set)
		synctest.Wait()
		if got := c.arrived(); len(got) != 2 || got[1] != "/waits@a" || stateOf(t, c.p, "a").InFlight != 1 {
			t.Errorf("%v", got)
		}

		close(c.release["a"])
		close(c.release["b"])
		c.done.Wait()
	})
}

// While others wait, an endpoint on trial still gets one request at a time.
func TestQueue_ATrialIsOneRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newHeldProxy(t, []string{"a", "b"}, "LB_MAX_IN_FLIGHT=4", "LB_QUEUE_SIZE=100", "LB_QUEUE_TIMEOUT=1h")
		outcomes(t, c.p, "a", false, 5)
		for i := range 8 {
			c.send(fmt.Sprintf("/%d", i))
		}

		time.Sleep(10 * time.Second)
		for i := range 32 {
			c.send(fmt.Sprintf("/late%d", i))
		}
		if st := stateOf(t, c.p, "a"); st.InFlight != 1 {
			t.Errorf("%d requests try the endpoint at a time", st.InFlight)
		}

		close(c.release["a"])
		close(c.release["b"])
		c.done.Wait()
	})
}

// session gets a cookie that binds to the backend.
func session(t testing.TB, p *Proxy, name string) (field, value string) {
	t.Helper()
	a := affinity.New(p.service.Config().Affinity, time.Now())
	line := a.SetCookie(a.Ring(time.Now()), name, time.Now().Unix(), time.Now(), false)
	cookie, err := http.ParseSetCookie(line)
	if err != nil {
		t.Fatal(err)
	}

	return "Cookie", cookie.Name + "=" + cookie.Value
}

func TestQueue_SessionWaitsForItsOwnEndpointFirstThenMoves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newHeldProxy(t, []string{"a", "b"}, "LB_MAX_IN_FLIGHT=1", "LB_SESSION_AFFINITY=cookie")
		field, value := session(t, c.p, "a")
		c.send("/first", field, value)
		patient := c.send("/patient", field, value)
		time.Sleep(400 * time.Millisecond)
		synctest.Wait()
		if got := c.arrived(); len(got) != 1 {
			t.Fatalf("moved before its time: %v", got)
		}

		c.release["a"] <- struct{}{}
		synctest.Wait()
		if got := c.arrived(); len(got) != 2 || got[1] != "/patient@a" {
			t.Fatalf("%v", got)
		}

		moving := c.send("/moving", field, value)
		time.Sleep(501 * time.Millisecond)
		synctest.Wait()
		if got := c.arrived(); len(got) != 3 || got[2] != "/moving@b" {
			t.Fatalf("%v", got)
		}

		close(c.release["a"])
		close(c.release["b"])
		c.done.Wait()
		if patient.Header().Get("Set-Cookie") != "" || moving.Header().Get("Set-Cookie") == "" {
			t.Error("a session that moved is bound to where it went, and only that one")
		}
	})
}

// Requests that wait for their session's endpoint don't keep other requests
// from the free places of another endpoint.
func TestQueue_WaitingSessionsBlockNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newHeldProxy(t, []string{"a", "b"}, "LB_MAX_IN_FLIGHT=4", "LB_QUEUE_SIZE=1", "LB_SESSION_AFFINITY=cookie",
			"LB_AFFINITY_STRICT=true")
		field, value := session(t, c.p, "a")
		for i := range 6 {
			c.send(fmt.Sprintf("/s%d", i), field, value)
		}

		for i := range 4 {
			if w := c.send(fmt.Sprintf("/%d", i)); w.Code == 503 {
				t.Error("refused although b is free")
			}
		}

		if n := stateOf(t, c.p, "b").InFlight; n != 4 {
			t.Errorf("b has %d in flight", n)
		}

		close(c.release["a"])
		close(c.release["b"])
		c.done.Wait()
	})
}

func TestQueue_StrictSessionNeverMoves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newHeldProxy(t, []string{"a", "b"},
			"LB_MAX_IN_FLIGHT=1", "LB_SESSION_AFFINITY=cookie", "LB_AFFINITY_STRICT=true")
		field, value := session(t, c.p, "a")
		c.send("/first", field, value)
		w := c.send("/second", field, value)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if w.Code != 503 || len(c.arrived()) != 1 {
			t.Errorf("%d %v", w.Code, c.arrived())
		}

		close(c.release["a"])
		c.done.Wait()
	})
}

func TestQueue_DepartedClientLeavesTheLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newHeldProxy(t, []string{"a"}, "LB_MAX_IN_FLIGHT=1", "LB_QUEUE_TIMEOUT=1h")
		c.send("/0")
		ctx, leave := context.WithCancel(t.Context())
		c.done.Go(func() { serveDeparting(c.p, httptest.NewRecorder(), request("GET", "/gone").WithContext(ctx)) })
		synctest.Wait()
		leave()
		synctest.Wait()
		if n := c.p.service.Waiting(); n != 0 {
			t.Errorf("%d still wait", n)
		}

		close(c.release["a"])
		c.done.Wait()
		if len(c.arrived()) != 1 {
			t.Error("a departed client's request was sent")
		}

		if st := stateOf(t, c.p, "a"); st.InFlight != 0 {
			t.Errorf("it keeps %d places", st.InFlight)
		}
	})
}

// Many come and go at once: no place is lost, none is given twice.
func TestQueue_PlacesAreNeitherLostNorDoubled(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now, most := map[string]int{}, 0

	p := testProxy(t, Options{}, func(name string) upstreamFunc {
		return func(*http.Request, *wire.Call) (*http.Response, error) {
			mu.Lock()
			now[name]++
			most = max(most, now[name])
			mu.Unlock()
			defer func() { mu.Lock(); now[name]--; mu.Unlock() }()

			return answer(200, ""), nil
		}
	}, "LB_MAX_IN_FLIGHT=2", "LB_QUEUE_SIZE=100", "LB_QUEUE_TIMEOUT=1h", "LB_SESSION_AFFINITY=cookie")
	p.Update(named("a", "b", "c"))
	field, value := session(t, p, "a")
	var all sync.WaitGroup

	for i := range 32 {
		all.Go(func() {
			for range 200 {
				r := request("GET", "/")
				if i%3 == 0 {
					r.Header.Set(field, value)
				}

				w := httptest.NewRecorder()
				if p.ServeHTTP(w, r); w.Code != 200 {
					t.Error(w.Code)
				}
			}
		})
	}

	all.Wait()
	for _, st := range p.Backends() {
		if st.InFlight != 0 {
			t.Errorf("%s keeps %d places", st.Name, st.InFlight)
		}
	}

	if most > 2 || p.service.Waiting() != 0 {
		t.Errorf("%d in flight at once, %d wait", most, p.service.Waiting())
	}
}

// serveDeparting serves a request whose client may leave: the proxy cuts the
// connection then, rather than say nothing.
func serveDeparting(p *Proxy, w http.ResponseWriter, r *http.Request) {
	defer func() {
		if v := recover(); v != nil && v != http.ErrAbortHandler {
			panic(v)
		}
	}()
	p.ServeHTTP(w, r)
}

// A server makes an empty 200 of a handler that says nothing, so a request
// without an answer is cut, whoever was thought to have left.
func TestQueue_NobodyAnsweredIsNeverAnEmpty200(t *testing.T) {
	t.Parallel()
	p := testProxy(t, Options{}, func(string) upstreamFunc {
		return func(*http.Request, *wire.Call) (*http.Response, error) {
			return nil, &wire.Error{Outcome: wire.NoAnswer, Phase: wire.Write, Client: wire.Gone, Err: errClientGone}
		}
	})
	p.Update(named("a"))
	server := httptest.NewServer(p)
	defer server.Close()
	if r, err := http.Post(server.URL, "text/plain", nil); err == nil {
		r.Body.Close()
		t.Errorf("status %d", r.StatusCode)
	}
}
