// Package limit tests rate limits and limits of requests in flight. It runs the
// whole program, with a real redis-server as the store that instances share.
// Without an installed redis-server, the tests that need it are skipped.
package limit

import (
	"net/http"
	"os"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// pillion is the program under test, built by TestMain.
var pillion *binary.Binary

func TestMain(m *testing.M) { os.Exit(binary.Main(m, "../..", &pillion)) }

// app starts a backend that answers 200, and returns LB_BACKENDS for it.
func app(t *testing.T) string {
	t.Helper()
	return backend.Backends(backend.Start(t, "app", func(http.ResponseWriter, *http.Request) {}))
}

// slowApp starts a backend that sends to began at each request, and answers
// when done is closed. It returns LB_BACKENDS for it.
func slowApp(t *testing.T, began chan<- struct{}, done <-chan struct{}) string {
	t.Helper()
	return backend.Backends(backend.Start(t, "app", func(http.ResponseWriter, *http.Request) {
		began <- struct{}{}
		<-done
	}))
}

// get sends a GET and returns the answer, whose body is closed. fields are
// names and values in turn.
func get(t *testing.T, p *binary.Process, target string, fields ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL(target), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		r.Header.Add(fields[i], fields[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()

	return resp
}

// message waits for a log line with a message.
func message(p *binary.Process, text string) binary.Line {
	return p.Line(text, func(l binary.Line) bool { return l.String("message") == text })
}

// The log messages about the store.
const (
	inUse = "the rate limit store is in use"
	away  = "the rate limit store does not answer, each instance counts for itself"
)
