package proxy

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/proxy/h1"
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
				return func(*http.Request, *h1.Call) (*http.Response, error) {
					sent.Add(1)
					if c.leave {
						cancel()
					}
					return answer(503, "", "Retry-After", "2"), nil
				}
			}
			var record Record
			p := testProxy(t, Options{Access: func(r *Record) { record = *r }}, upstreams, append(c.env, "LB_RETRY_STATUS=503")...)
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
		return func(*http.Request, *h1.Call) (*http.Response, error) {
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
