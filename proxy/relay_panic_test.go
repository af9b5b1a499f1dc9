package proxy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// heldBody counts how often it is closed.
type heldBody struct {
	io.Reader
	closed atomic.Int32
}

func (b *heldBody) Close() error { b.closed.Add(1); return nil }

// faultyRecorder has a fault when it is written to.
type faultyRecorder struct{ *httptest.ResponseRecorder }

func (faultyRecorder) Write([]byte) (int, error) { panic("a fault") }

// The body of an answer holds a connection to the backend, and may have other
// readers. It is closed once, also when passing it on panics.
func TestRelay_APanicClosesTheAnswer(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]bool{"no fault": false, "a fault": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				resp := answer(200, "hello")
				body := &heldBody{Reader: resp.Body}
				resp.Body = body
				p := testProxy(t, Options{}, func(string) upstreamFunc {
					return func(*http.Request, *wire.Call) (*http.Response, error) { return resp, nil }
				})
				p.Update(named("a"))

				var w http.ResponseWriter = httptest.NewRecorder()
				if fault {
					w = faultyRecorder{httptest.NewRecorder()}
				}
				func() {
					defer func() {
						if v := recover(); (v == "a fault") != fault {
							t.Errorf("ServeHTTP ended with %v", v)
						}
					}()
					p.ServeHTTP(w, request("GET", "/"))
				}()

				if n := body.closed.Load(); n != 1 {
					t.Errorf("the body was closed %d times", n)
				}
				if n := stateOf(t, p, "a").InFlight; n != 0 {
					t.Errorf("%d in flight", n)
				}
			})
		})
	}
}
