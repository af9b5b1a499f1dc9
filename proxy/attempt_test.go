package proxy

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/proxy/backend"
	"github.com/pillion-lb/pillion/proxy/wire"
)

func TestAttempt_ARetryThatComesTooLateAnswersOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env    []string
		leave  bool
		status int
	}{
		"the client left":       {nil, true, statusClientGone},
		"the deadline is ahead": {[]string{"LB_REQUEST_TIMEOUT=50ms"}, false, http.StatusGatewayTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sent atomic.Int32
			ctx, cancel := context.WithCancel(t.Context())

			upstreams := func(string) upstreamFunc {
				return func(*http.Request, *wire.Call) (*http.Response, error) {
					sent.Add(1)
					if c.leave {
						cancel()
					}
					return answer(503, "", "Retry-After", "2"), nil
				}
			}
			var record Record
			p := testProxy(t, Options{Access: func(r *Record) { record = *r }}, upstreams,
				append(c.env, "LB_RETRY_STATUS=503")...)
			p.Update(named("a", "b"))
			w := httptest.NewRecorder()
			begun := time.Now()
			serveDeparting(p, w, request("GET", "/").WithContext(ctx))
			if sent.Load() != 1 || record.Status != c.status || time.Since(begun) > time.Second {
				t.Errorf("%d attempts, status %d after %s", sent.Load(), record.Status, time.Since(begun))
			}
		})
	}
}

func TestAttempt_UnavailableInTrailersIsAFailure(t *testing.T) {
	t.Parallel()
	call := func(status string) upstreamFunc {
		return func(*http.Request, *wire.Call) (*http.Response, error) {
			resp := answer(200, "", "Content-Type", "application/grpc")
			resp.Trailer = http.Header{"Grpc-Status": {status}}
			return resp, nil
		}
	}
	p := testProxy(t, Options{}, func(name string) upstreamFunc {
		if name == "bad" {
			return call(unavailable)
		}
		return call("5") // NOT_FOUND is an answer
	})
	p.Update(named("bad", "good"))
	for range 100 {
		r := request("POST", "/pkg.Service/Method", "Content-Type", "application/grpc")
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
		p.ServeHTTP(httptest.NewRecorder(), r)
	}

	if bad, good := stateOf(t, p, "bad"), stateOf(t, p, "good"); bad.State != "ejected" || good.State != "eligible" {
		t.Errorf("bad is %s, good is %s", bad.State, good.State)
	}
}

// A gRPC request that is the trial of an ejected endpoint gives the trial back,
// also where no trailers tell its outcome: its answer is given up for
// another's, or it is no call at all but a WebSocket whose client calls it so.
func TestAttempt_NoGRPCRequestKeepsTheTrial(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer func() *http.Response
		change func(*http.Request)
	}{
		"given up": {func() *http.Response { return answer(429, "") }, func(*http.Request) {}},
		"an extended CONNECT": {func() *http.Response { return answer(204, "") }, func(r *http.Request) {
			r.Method = http.MethodConnect
			r.Header[":protocol"] = []string{"websocket"}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := testProxy(t, Options{}, func(name string) upstreamFunc {
					return func(*http.Request, *wire.Call) (*http.Response, error) {
						if name == "a" {
							return c.answer(), nil
						}
						return answer(200, ""), nil
					}
				}, "LB_RETRY_STATUS=429", "LB_SESSION_AFFINITY=cookie")
				p.Update(named("a", "b"))
				field, value := session(t, p, "a")
				outcomes(t, p, "a", false, 5)
				time.Sleep(10 * time.Second)
				r := request("GET", "/pkg.Service/Method", "Content-Type", "application/grpc", "Idempotency-Key", "1", field, value)
				r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
				c.change(r)
				p.ServeHTTP(httptest.NewRecorder(), r)
				if st := stateOf(t, p, "a"); st.State != "eligible" {
					t.Errorf("after a good answer: %+v", st)
				}

				outcomes(t, p, "a", false, 5)
				time.Sleep(20 * time.Second)
				if !mayTry(t, p, "a", value) {
					t.Error("the trial is kept")
				}
			})
		})
	}
}

// mayTry reports whether a session's request would go to its endpoint, which is
// on trial.
func mayTry(t *testing.T, p *Proxy, name, cookie string) bool {
	t.Helper()

	_, value, _ := strings.Cut(cookie, "=")
	c := backend.Claim{Context: t.Context(), Start: time.Now()}
	if err := p.service.Begin(&c, []string{value}); err != nil {
		t.Fatal(err)
	}

	place, err := p.service.Take(&c)
	if err != nil {
		t.Fatal(err)
	}

	place.EndTrial()
	place.Release()

	return place.Name == name
}

// A stream may last for hours. Were it the trial all the while, an endpoint
// that is well again would get nothing else.
func TestAttempt_AStreamHoldsTheTrialUntilItsHeadOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stream, end := io.Pipe()
		p := testProxy(t, Options{}, func(string) upstreamFunc {
			return func(*http.Request, *wire.Call) (*http.Response, error) {
				resp := answer(200, "", "Content-Type", "application/grpc")
				resp.Body, resp.ContentLength = stream, -1
				return resp, nil
			}
		}, "LB_SESSION_AFFINITY=cookie")
		p.Update(named("a", "b"))
		field, value := session(t, p, "a")
		outcomes(t, p, "a", false, 5)
		time.Sleep(10 * time.Second)
		r := request("POST", "/pkg.Service/Watch", "Content-Type", "application/grpc", field, value)
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
		var done sync.WaitGroup
		done.Go(func() { p.ServeHTTP(httptest.NewRecorder(), r) })
		synctest.Wait()
		if st := stateOf(t, p, "a"); st.InFlight != 1 || !mayTry(t, p, "a", value) {
			t.Errorf("the stream keeps the trial: %+v", st)
		}

		end.Close()
		done.Wait()
		if st := stateOf(t, p, "a"); st.State != "eligible" {
			t.Errorf("after a good end: %+v", st)
		}
	})
}

// LB_REQUEST_TIMEOUT ends long uploads and long answers too, and those don't
// count as failures. A backend that sends nothing until then has failed.
func TestAttempt_OnlySilenceUntilTheRequestsDeadlineIsAFailure(t *testing.T) {
	t.Parallel()
	late := func(outcome wire.Outcome, phase wire.Phase) error {
		time.Sleep(2 * time.Second)
		return &wire.Error{Outcome: outcome, Phase: phase, Timeout: true, Err: os.ErrDeadlineExceeded}
	}
	for name, c := range map[string]struct {
		send     upstreamFunc
		failures uint64
	}{
		"uploading": {func(*http.Request, *wire.Call) (*http.Response, error) { return nil, late(wire.NoAnswer, wire.Write) },
			0},
		"silent": {func(*http.Request, *wire.Call) (*http.Response, error) { return nil, late(wire.NoAnswer, wire.Head) },
			1},
		"answering": {func(*http.Request, *wire.Call) (*http.Response, error) {
			resp := answer(200, "")
			resp.ContentLength, resp.Body = -1, io.NopCloser(reader(func() error { return late(wire.Broken, wire.Body) }))
			return resp, nil
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var record Record
				p := testProxy(t, Options{Access: func(r *Record) { record = *r }}, func(string) upstreamFunc { return c.send },
					"LB_REQUEST_TIMEOUT=2s")
				p.Update(named("a", "b"))
				serveDeparting(p, httptest.NewRecorder(), request("GET", "/"))
				if st := stateOf(t, p, record.Backend); st.Failures != c.failures || record.Status == statusClientGone {
					t.Errorf("%d failures, status %d", st.Failures, record.Status)
				}
			})
		})
	}
}

// reader is a body that fails.
type reader func() error

func (r reader) Read([]byte) (int, error) { return 0, r() }

// An answer was given up for another backend's, and then there is no other any
// more.
func TestAttempt_NoBackendIsLeftForTheRetry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var record Record
		p := testProxy(t, Options{Access: func(r *Record) { record = *r }}, func(string) upstreamFunc {
			return func(*http.Request, *wire.Call) (*http.Response, error) {
				return answer(429, "", "Retry-After", "2"), nil
			}
		}, "LB_RETRY_STATUS=429")
		p.Update(named("a", "b"))

		time.AfterFunc(time.Second, func() {
			for _, st := range p.Backends() {
				if st.Requests > 0 {
					p.Update(named(st.Name))
				}
			}
		})
		if w := get(p); w.Code != http.StatusServiceUnavailable || record.Ended != "us/retry" {
			t.Errorf("%d, %s", w.Code, record.Ended)
		}
	})
}

// How long a retry waits for an answer that may be given up: as long as that
// says, and two seconds at most.
func TestAttempt_ARetryOf429WaitsAsLongAsItSays(t *testing.T) {
	t.Parallel()
	for after, want := range map[string]time.Duration{
		"": 0, "0": 0, "1": time.Second, "2": 2 * time.Second, "3600": 2 * time.Second, "-1": 0,
		"Fri, 31 Dec 1999 23:59:59 GMT": 0,
	} {
		synctest.Test(t, func(t *testing.T) {
			sent := 0
			p := testProxy(t, Options{}, func(string) upstreamFunc {
				return func(*http.Request, *wire.Call) (*http.Response, error) {
					if sent++; sent > 1 {
						return answer(200, "fine"), nil
					}
					if after == "" {
						return answer(429, "too many"), nil
					}
					return answer(429, "too many", "Retry-After", after), nil
				}
			}, "LB_RETRY_STATUS=429")
			p.Update(named("a", "b"))

			begun := time.Now()
			w := get(p)
			if took := time.Since(begun); w.Code != 200 || took < want || took > want+time.Second/2 {
				t.Errorf("Retry-After %q: %d after %v, want %v", after, w.Code, took, want)
			}
		})
	}
}

// Without a place for a retry, the client gets the 429 as it is, and what it
// says.
func TestAttempt_A429ThatIsNotRetriedIsTheClients(t *testing.T) {
	t.Parallel()
	for _, after := range []string{"", "30"} {
		p := testProxy(t, Options{}, func(string) upstreamFunc {
			return func(*http.Request, *wire.Call) (*http.Response, error) {
				a := answer(429, "too many")
				if after != "" {
					a.Header.Set("Retry-After", after)
				}
				return a, nil
			}
		}, "LB_RETRIES=0")
		p.Update(named("a"))
		if w := get(p); w.Code != 429 || w.Header().Get("Retry-After") != after || w.Body.String() != "too many" {
			t.Errorf("%d %q %q", w.Code, w.Header(), w.Body.String())
		}
	}
}

// A session is no way to a spare that new sessions can't reach, be it by a
// trial.
func TestPriority_NoSessionIsTheTrialOfASpare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := testProxy(t, Options{}, func(name string) upstreamFunc {
			return func(*http.Request, *wire.Call) (*http.Response, error) {
				return answer(200, "", "X-Backend", name), nil
			}
		}, "LB_SESSION_AFFINITY=cookie")
		set := named("a", "b")
		set[1].Priority = 1
		p.Update(set)
		field, value := session(t, p, "b")
		outcomes(t, p, "b", false, 5)
		time.Sleep(10 * time.Second)
		if w := get(p, field, value); w.Header().Get("X-Backend") != "a" {
			t.Errorf("the session is served by %s", w.Header().Get("X-Backend"))
		}
	})
}
