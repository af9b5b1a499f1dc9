package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/proxy/status"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// A transport of package h1 knows the server's own request by its context. With
// that context it can watch the client without a goroutine, and the response
// can use the memory of the server's connection. If a copy of the request
// (WithContext, Clone) is made anywhere between the two, requests are served as
// before but slower, and no other test than this one notices.
//
// It is the same with the writer: a wrapper hides the methods by which a head
// is passed on without a copy and a body is spliced.
func TestServeHTTP_TheTransportGetsTheServersOwnRequest(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"plain":      {},
		"not traced": {Tracing: unsampled{}},
		"traced":     {Tracing: recorder{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			// All of these belong to the goroutine of the one connection.
			var sent *http.Request
			var used http.ResponseWriter

			p := testProxy(t, o, func(string) upstreamFunc {
				return func(r *http.Request, _ *wire.Call) (*http.Response, error) {
					sent = r
					return answer(200, "hello"), nil
				}
			}, "LB_SESSION_AFFINITY=cookie", "LB_REQUEST_TIMEOUT=1m", "LB_MAX_IN_FLIGHT=8")
			p.Update(named("a"))

			own := &status.Handler{Prefix: "/.lb/", Lifecycle: status.NewLifecycle()}
			behind := own.Before(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				used = w
				p.ServeHTTP(w, r)
			}))

			addr := serveOwn(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				context := r.Context()
				behind.ServeHTTP(w, r)

				if sent != r || r.Context() != context {
					t.Error("the transport got a copy of the request")
				}

				if used != w {
					t.Error("the proxy got a wrapper of the writer")
				}
			}))

			resp, err := http.Post("http://"+addr, "text/plain", strings.NewReader("a body"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "hello" {
				t.Errorf("the client got %q, %v", text, err)
			}
		})
	}
}
