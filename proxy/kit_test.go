package proxy

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery"
	"github.com/pillion-lb/pillion/proxy/h1"
)

// upstreamFunc is an endpoint's transport that a test made up.
type upstreamFunc func(r *http.Request, c *h1.Call) (*http.Response, error)

func (f upstreamFunc) Send(r *http.Request, c *h1.Call) (*http.Response, error) { return f(r, c) }
func (f upstreamFunc) Idle() int                                                { return 0 }
func (f upstreamFunc) CloseIdle()                                               {}

// answer is a whole response.
func answer(status int, body string, fields ...string) *http.Response {
	h := http.Header{}
	for i := 0; i+1 < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	return &http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: h,
		ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
	}
}

// testConfig reads an environment as the program would.
func testConfig(t testing.TB, env ...string) *config.Config {
	t.Helper()
	cfg, problems := config.Load(append([]string{"LB_BACKENDS=http://unused:80"}, env...))
	for _, p := range problems {
		t.Fatal(p.String())
	}
	return cfg
}

// testProxy makes a proxy of which every backend is served by what upstreams says of its name.
func testProxy(t testing.TB, o Options, upstreams func(name string) upstreamFunc, env ...string) *Proxy {
	t.Helper()
	p := New(testConfig(t, env...), o)
	if upstreams != nil {
		p.service.dial = func(b discovery.Backend) (upstream, upstream) {
			return upstreams(b.Name), upstreams(b.Name)
		}
	}
	return p
}

// named are backends of which only the names matter.
func named(names ...string) []discovery.Backend {
	var list []discovery.Backend
	for _, name := range names {
		list = append(list, discovery.Backend{Name: name, Address: "127.0.0.1:1", Host: name, Weight: 1, Source: name})
	}
	return list
}

// logBook is a log that a test reads. Safe for concurrent use.
type logBook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBook) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// count is how often a text stands in the log.
func (l *logBook) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), text)
}

// refused is the error of an endpoint whose port is closed.
func refused() error {
	return &h1.Error{Outcome: h1.NotSent, Phase: h1.Connect, Err: errRefused}
}

// noAnswer is the error of an endpoint that took a request and closed the connection.
func noAnswer() error {
	return &h1.Error{Outcome: h1.NoAnswer, Phase: h1.Head, Err: io.ErrUnexpectedEOF}
}

const errRefused = syscall.ECONNREFUSED

// stateOf is the state of one endpoint.
func stateOf(t testing.TB, p *Proxy, name string) EndpointState {
	t.Helper()
	for _, st := range p.Endpoints() {
		if st.Name == name {
			return st
		}
	}
	t.Fatalf("no endpoint %s", name)
	return EndpointState{}
}
