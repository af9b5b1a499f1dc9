// Package proxytest has what the tests of proxy and of its backend service
// share: transports without a network, answers, settings and a log. Only tests
// import it.
package proxytest

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// Upstream is the transport of an endpoint as a function.
type Upstream func(r *http.Request, c *wire.Call) (*http.Response, error)

// Send calls the function.
func (f Upstream) Send(r *http.Request, c *wire.Call) (*http.Response, error) { return f(r, c) }

// MovesBody returns false.
func (f Upstream) MovesBody() bool { return false }

// Idle returns 0, because there are no connections.
func (f Upstream) Idle() int { return 0 }

// CloseIdle does nothing.
func (f Upstream) CloseIdle() {}

// Answer returns a complete response. fields are names and values in turn.
func Answer(status int, body string, fields ...string) *http.Response {
	h := http.Header{}
	for i := 0; i+1 < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}

	return &http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: h,
		ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
	}
}

// NoAnswer returns the error of an endpoint that received a request and closed
// the connection.
func NoAnswer() error {
	return &wire.Error{Outcome: wire.NoAnswer, Phase: wire.Head, Err: io.ErrUnexpectedEOF}
}

// Config loads an environment, given as NAME=value, as the program does. It
// fails the test if there is a problem.
func Config(t testing.TB, env ...string) *config.Config {
	t.Helper()
	cfg, problems := config.Load(append([]string{"LB_BACKENDS=http://unused:80"}, env...))
	for _, p := range problems {
		t.Fatal(p.String())
	}

	return cfg
}

// Backends returns backends of which only the names matter.
func Backends(names ...string) (list []discovery.Backend) {
	for _, name := range names {
		list = append(list, discovery.Backend{
			Name: name, Address: "127.0.0.1:1", Host: name, Weight: 1, Source: name,
		})
	}

	return list
}

// Log is a log that a test reads. The zero value is empty. It is safe for
// concurrent use.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write appends to the log.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()

	return l.buf.Write(p)
}

// String returns all of the log.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()

	return l.buf.String()
}

// Logger returns a logger that writes to the log.
func (l *Log) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// Count returns how often a text is in the log.
func (l *Log) Count(text string) int { return strings.Count(l.String(), text) }
