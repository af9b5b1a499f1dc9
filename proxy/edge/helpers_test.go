package edge

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// testConfig reads an environment as the program would.
func testConfig(t testing.TB, env ...string) *config.Config {
	t.Helper()
	cfg, problems := config.Load(append([]string{"LB_BACKENDS=http://unused:80"}, env...))
	for _, p := range problems {
		t.Fatal(p.String())
	}

	return cfg
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

// cleaned is the request as a backend would get it.
func cleaned(t testing.TB, env []string, r *http.Request) (http.Header, *Hop) {
	t.Helper()

	rules, hop := New(testConfig(t, env...)), &Hop{Host: r.Host, Secure: r.TLS != nil}
	rules.Believe(hop, r.RemoteAddr, r.Header)
	rules.Strip(hop, r.Header)
	rules.Forward(hop, r.Header)
	hop.RequestID(r.Header, &Trace{}, new(wire.Texts))
	rules.MarkLoop(hop, r.Header)
	applied(hop, r.Header)

	return r.Header, hop
}

// applied merges what the hop says in every attempt into a request's fields, as
// a transport does.
func applied(hop *Hop, h http.Header) {
	for _, f := range hop.Fields {
		h[f.Name] = []string{f.Value}
	}
}
