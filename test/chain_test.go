package test

import (
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// Any number of Pillions without a configured name may be chained. Without a
// name, they do not count as the same service, so the chain is not a loop.
func TestChain_UnnamedBalancersAreNoLoop(t *testing.T) {
	t.Parallel()
	app := backend.Start(t, "app", nil)
	target := app.Target()
	for range 6 {
		target = "http://" + pillion.Start(t, append(calm, "LB_BACKENDS="+target)...).Address
	}

	client := newClient(t)
	for _, method := range []string{"GET", "HEAD", "POST", "DELETE"} {
		a := send(t, client, newRequest(t, method, target+"/", strings.NewReader("")))
		if a.StatusCode != http.StatusOK || a.Backend() != "app" {
			t.Errorf("%s through six: %d from %q", method, a.StatusCode, a.Backend())
		}
	}

	wantStatus(t, get(t, newH2CClient(t), target+"/"), http.StatusOK)
}

// Alt-Svc is about the host in the request. If the request named the backend's
// own host, a client that follows it would bypass Pillion and lose its session,
// so it is removed. If the request named the client's host, it is passed on.
func TestChain_AltSvcSpeaksOfTheHostThatWasAsked(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]int{"LB_HOST_HEADER=backend": 0, "LB_HOST_HEADER=client": 2} {
		for _, status := range []int{200, 304, 404, 503} {
			app := backend.StartScript(t, "app", func(backend.Request) string {
				return backend.Answer(status, "", `Alt-Svc: h3=":443"; ma=86400`, `Alt-Svc: h2="other.example:443"`)
			})
			p := pillion.Start(t, append(calm, app.Environment(), setting)...)

			a := get(t, newClient(t), p.URL("/"), "Host", "app.example")
			if got := a.Header.Values("Alt-Svc"); len(got) != want {
				t.Errorf("%d with %s: Alt-Svc %q", status, setting, got)
			}
		}
	}
}

// Every kind of answer is rewritten: interim answers, answers from the cache,
// answers of a hedged request, and the 101 of a WebSocket. The client sees its
// own host, and no other service of the backend's host.
func TestChain_NoKindOfAnswerNamesTheBackendsHost(t *testing.T) {
	t.Parallel()
	var self atomic.Value
	b := backend.Start(t, "app", func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Location", "http://"+self.Load().(string)+"/next")
		h.Set("Content-Location", "http://"+self.Load().(string)+"/here")
		h.Set("Refresh", "5; url=http://"+self.Load().(string)+"/later")
		h.Set("Alt-Svc", `h3=":443"; ma=86400`)
		// The fields are set before anything is written, because net/http may
		// still read the map while it sends an interim answer.
		h.Set("Cache-Control", "max-age=60")
		if r.URL.Path == "/interim" {
			w.WriteHeader(104)
			w.WriteHeader(http.StatusEarlyHints)
		}
		w.WriteHeader(http.StatusMovedPermanently)
	})
	self.Store(b.Address)

	for name, env := range map[string][]string{
		"plain": nil, "cached": {"LB_CACHE=origin"}, "hedged": {"LB_HEDGE=1ms"},
		"cached and hedged": {"LB_CACHE=origin", "LB_HEDGE=1ms"},
	} {
		for _, scheme := range []string{"http", "h2c"} {
			t.Run(name+" "+scheme, func(t *testing.T) {
				t.Parallel()
				target := scheme + "://" + b.Address
				p := pillion.Start(t, append(append(calm, env...), "LB_HOST_HEADER=backend", "LB_RETRY_BUDGET=100%",
					"LB_BACKENDS="+target+"?name=a;"+target+"?name=b")...)
				for protocol, client := range map[string]*http.Client{"HTTP/1.1": newClient(t), "h2c": newH2CClient(t)} {
					client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
					for _, path := range []string{"/", "/", "/interim", "/interim"} {
						for _, method := range []string{"GET", "HEAD", "POST"} {
							wantOwnOrigin(t, client, protocol, newRequest(t, method, p.URL(path), nil, "Host", "app.example"))
						}
					}
				}
			})
		}
	}
}

// wantOwnOrigin makes a request and checks every answer to it, interim ones
// included.
func wantOwnOrigin(t *testing.T, client *http.Client, protocol string, r *http.Request) {
	t.Helper()
	var interim atomic.Int64
	judge := func(code int, h http.Header) {
		if h.Get("Location") != "http://app.example/next" || h.Get("Content-Location") != "http://app.example/here" ||
			h.Get("Refresh") != "5; url=http://app.example/later" || h.Get("Alt-Svc") != "" {
			t.Errorf("%s: %s %s: %d with %v", protocol, r.Method, r.URL.Path, code, h)
		}
	}

	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			interim.Add(1)
			judge(code, http.Header(h))
			return nil
		},
	}))
	a := send(t, client, r)
	judge(a.StatusCode, a.Header)
	if r.URL.Path == "/interim" && r.Method == "POST" && interim.Load() != 2 {
		t.Errorf("%s: %s %s: %d interim answers", protocol, r.Method, r.URL.Path, interim.Load())
	}
}

func TestChain_AnUpgradeNamesNoServiceOfTheBackends(t *testing.T) {
	t.Parallel()
	b := backend.StartScript(t, "app", func(r backend.Request) string {
		return strings.Replace(switching(r), "\r\n\r\n", "\r\nAlt-Svc: h3=\":443\"\r\nX-App: yes\r\n\r\n", 1)
	})
	p := pillion.Start(t, append(calm, b.Environment(), "LB_HOST_HEADER=backend")...)
	c := wire.Dial(t, p.Address)
	c.Send(wire.Request("GET", "/", "", handshake...))
	if head := c.Head(); !strings.HasPrefix(head, "HTTP/1.1 101 ") || strings.Contains(strings.ToLower(head), "alt-svc") ||
		!strings.Contains(head, "X-App: yes") {
		t.Errorf("the client got %q", head)
	}
}
