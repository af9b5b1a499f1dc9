package proxy

import (
	"io"
	"net/http"
	"testing"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// nobody is a client that throws everything away.
type nobody struct{ header http.Header }

func (n *nobody) Header() http.Header         { return n.header }
func (n *nobody) WriteHeader(int)             {}
func (n *nobody) Write(p []byte) (int, error) { return len(p), nil }

// emptyBody is an answer's body without content, made once.
type emptyBody struct{}

func (emptyBody) Read([]byte) (int, error) { return 0, io.EOF }
func (emptyBody) Close() error             { return nil }

// BenchmarkServe is what one request costs between the two transports: three
// backends, a session on one of them.
func BenchmarkServe(b *testing.B) {
	for _, c := range []struct {
		name string
		o    Options
		env  []string
	}{
		{"plain", Options{}, nil},
		{"affinity", Options{}, cookies},
		{"limited", Options{}, []string{"LB_MAX_IN_FLIGHT=100"}},
		{"unsampled", Options{Tracing: unsampled{}}, cookies},
	} {
		b.Run(c.name, func(b *testing.B) {
			resp := &http.Response{
				StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, ContentLength: 0, Body: emptyBody{},
				Header: http.Header{"Content-Type": {"text/plain"}, "Date": {"Sun, 22 Nov 2026 10:00:00 GMT"},
					"Content-Length": {"0"}},
			}
			p := testProxy(b, c.o, func(string) upstreamFunc {
				return func(*http.Request, *wire.Call) (*http.Response, error) { return resp, nil }
			}, c.env...)
			p.Update(named("a", "b", "c"))
			r := request("GET", "/")
			fields := http.Header{"User-Agent": {"bench"}, "Accept": {"*/*"}}
			w := &nobody{header: make(http.Header)}
			var ours string
			if p.service.Config().Affinity.Cookie {
				_, ours = session(b, p, "b")
			}

			cookie := make([]string, 1)
			b.ReportAllocs()
			for b.Loop() {
				clear(r.Header)
				clear(w.header)
				for name, values := range fields {
					r.Header[name] = values
				}

				if ours != "" {
					cookie[0] = ours // the proxy takes it out
					r.Header["Cookie"] = cookie
				}

				p.ServeHTTP(w, r)
			}
		})
	}
}

// Between the transports a request costs no memory of its own. Its id and the
// trace context come from a piece that many requests share.
func TestServe_AllocatesNothing(t *testing.T) {
	if racing {
		t.Skip("pools leak under the race detector")
	}

	resp := &http.Response{StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, Body: emptyBody{},
		Header: http.Header{"Content-Type": {"text/plain"}}}
	p := testProxy(t, Options{Tracing: unsampled{}}, func(string) upstreamFunc {
		return func(*http.Request, *wire.Call) (*http.Response, error) { return resp, nil }
	}, cookies...)
	p.Update(named("a", "b", "c"))
	_, ours := session(t, p, "b")
	w, r, cookie := &nobody{header: make(http.Header)}, request("GET", "/"), make([]string, 1)

	n := testing.AllocsPerRun(1000, func() {
		clear(r.Header)
		clear(w.header)
		cookie[0] = ours
		r.Header["Cookie"] = cookie
		p.ServeHTTP(w, r)
	})
	if n != 0 {
		t.Errorf("%v allocations for a request", n)
	}
}
