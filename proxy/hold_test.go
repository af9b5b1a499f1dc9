package proxy

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// The pauses of requests that are held, as package backend has them.
const (
	holdPause  = 100 * time.Millisecond
	knockPause = 20 * time.Millisecond
)

// sleeper is a proxy whose endpoints refuse until they are up.
func sleeper(t *testing.T, names []string, env ...string) (p *Proxy, up *atomic.Bool, dials *atomic.Int64) {
	up, dials = new(atomic.Bool), new(atomic.Int64)
	p = testProxy(t, Options{}, func(string) upstreamFunc {
		return func(*http.Request, *wire.Call) (*http.Response, error) {
			if dials.Add(1); up.Load() {
				return answer(200, "up"), nil
			}
			return nil, refused()
		}
	}, env...)
	p.Update(named(names...))

	return p, up, dials
}

func get(p *Proxy, fields ...string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	p.ServeHTTP(w, request("GET", "/", fields...))
	return w
}

func TestHold_FirstRequestWaitsForALateNeighbour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, up, _ := sleeper(t, []string{"a", "b", "c"})
		time.AfterFunc(4*time.Second, func() { up.Store(true) })
		began := time.Now()
		if w := get(p); w.Code != 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}

		if took := time.Since(began); took > 4*time.Second+holdPause {
			t.Errorf("after %v", took)
		}
	})
}

func TestHold_EndsAndNeverDialsWithoutAPause(t *testing.T) {
	t.Parallel()
	for name, env := range map[string][]string{
		"plain": nil, "strict": {"LB_SESSION_AFFINITY=cookie", "LB_AFFINITY_STRICT=true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				names := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s",
					"t"}
				p, _, dials := sleeper(t, names, env...)
				var fields []string
				if env != nil {
					field, value := session(t, p, "a")
					fields = []string{field, value}
				}

				began := time.Now()
				w := get(p, fields...)
				if took := time.Since(began); w.Code != 503 || took < 9*time.Second || took > 10*time.Second {
					t.Errorf("%d after %v", w.Code, took)
				}

				if n := dials.Load(); n > 101*(1+maxFree) {
					t.Errorf("%d dials", n)
				}

				dials.Store(0)
				if w := get(p, fields...); w.Code != 503 || dials.Load() > 1+maxFree {
					t.Errorf("after the hold: %d, %d dials", w.Code, dials.Load())
				}
			})
		})
	}
}

func TestHold_NeverAfterAConnectionWasAccepted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first := true
		p := testProxy(t, Options{}, func(string) upstreamFunc {
			return func(*http.Request, *wire.Call) (*http.Response, error) {
				if first {
					first = false
					return nil, noAnswer()
				}
				return nil, refused()
			}
		}, "LB_RETRIES=0")
		p.Update(named("a", "b"))
		get(p)
		began := time.Now()
		if w := get(p); w.Code != 503 || time.Since(began) != 0 {
			t.Errorf("%d after %v", w.Code, time.Since(began))
		}
	})
}

func TestHold_IsForLoopbackOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := testProxy(t, Options{}, func(string) upstreamFunc {
			return func(*http.Request, *wire.Call) (*http.Response, error) { return nil, refused() }
		})
		set := named("a", "b")
		set[1].Address = "10.0.0.1:80"
		p.Update(set)
		began := time.Now()
		if w := get(p); w.Code != 503 || time.Since(began) != 0 {
			t.Errorf("%d after %v", w.Code, time.Since(began))
		}
	})
}

func TestHold_CrowdIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, up, _ := sleeper(t, []string{"a", "b"}, "LB_QUEUE_SIZE=10", "LB_MAX_IN_FLIGHT=100")
		var codes [600]atomic.Int64
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { codes[get(p).Code].Add(1) })
		}

		synctest.Wait()
		if n := codes[503].Load(); n != 30 {
			t.Errorf("%d of 50 were refused at once", n)
		}

		up.Store(true)
		all.Wait()
		if n := codes[200].Load(); n != 20 {
			t.Errorf("%d of 50 were held and answered", n)
		}
	})
}

func TestHold_CrowdLeavesTheCPUToTheNeighbour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, up, dials := sleeper(t, []string{"a", "b", "c"})
		var served atomic.Int64
		var all sync.WaitGroup

		for range 500 {
			all.Go(func() {
				if get(p).Code == 200 {
					served.Add(1)
				}
			})
		}

		synctest.Wait()
		dials.Store(0)
		time.Sleep(4*time.Second + holdPause/2)
		if n, most := dials.Load(), int64(4*time.Second/knockPause)*3; n == 0 || n > most {
			t.Errorf("%d dials in 4 s, want at most %d", n, most)
		}

		up.Store(true)
		began := time.Now()
		all.Wait()
		if took := time.Since(began); served.Load() != 500 || took > 2*holdPause+knockPause {
			t.Errorf("%d of 500 were served, the last %v after the start", served.Load(), took)
		}
	})
}

func TestHold_EndsWithItsClientOrItsTime(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env    []string
		leave  bool
		status int
		ended  string
	}{
		"the client left":     {nil, true, statusClientGone, "client/hold"},
		"the request is late": {[]string{"LB_REQUEST_TIMEOUT=2s"}, false, http.StatusGatewayTimeout, "us/hold"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, _, _ := sleeper(t, []string{"a", "b"}, c.env...)
				var record Record
				p.access = func(r *Record) { record = *r }
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				if c.leave {
					time.AfterFunc(2*time.Second, leave)
				}

				serveDeparting(p, httptest.NewRecorder(), request("GET", "/").WithContext(ctx))
				if record.Status != c.status || record.Ended != c.ended || record.Duration != 2*time.Second {
					t.Errorf("%d, %s, after %v", record.Status, record.Ended, record.Duration)
				}
			})
		})
	}
}
