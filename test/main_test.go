// Package test holds the promises that can be seen from outside. It builds the
// program once, starts it with an environment, talks to it as clients, backends
// and collectors do, and imports none of the program's packages.
//
// Every test starts processes and listeners of its own on ports that the kernel
// chooses, so all of them run at once and in any order. Under the race detector
// the program is built with it too, and a race in any process fails the test
// that started it.
package test

import (
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
	"github.com/pillion-lb/pillion/test/internal/confine"
)

// pillion is the program under test, built by TestMain.
var pillion *binary.Binary

func TestMain(m *testing.M) {
	confine.RunChild()
	backend.RunWorker()
	os.Exit(binary.Main(m, "..", &pillion))
}

// answer is a response with its complete body.
type answer struct {
	*http.Response
	Text string
}

// Backend returns the name of the backend that answered, or "" for an answer of
// Pillion's own.
func (a answer) Backend() string { return a.Header.Get(backend.NameField) }

// newClient returns an HTTP/1.1 client with its own connections. It follows no
// redirects and keeps no cookies.
func newClient(t *testing.T) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport: transport, Timeout: await.Limit,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// newH2CClient returns a client for HTTP/2 in clear text with prior knowledge.
// It uses one connection.
func newH2CClient(t *testing.T) *http.Client {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: await.Limit}
}

// newRequest returns a request. fields are names and values in turn.
func newRequest(t *testing.T, method, url string, body io.Reader, fields ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}

	for i := 0; i < len(fields); i += 2 {
		r.Header.Add(fields[i], fields[i+1])
	}

	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
		r.Header.Del("Host")
	}

	return r
}

// send sends a request. It fails the test if there is no complete answer.
func send(t *testing.T, c *http.Client, r *http.Request) answer {
	t.Helper()
	response, err := c.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: body: %v", r.Method, r.URL, err)
	}

	return answer{Response: response, Text: string(text)}
}

// get sends a GET. fields are names and values in turn.
func get(t *testing.T, c *http.Client, url string, fields ...string) answer {
	t.Helper()
	return send(t, c, newRequest(t, http.MethodGet, url, nil, fields...))
}

// listening reports whether a log line is the one with the address.
func listening(l binary.Line) bool { return l.String("message") == "listening" }

// soon waits for the next value of a channel, or for its end.
func soon[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(await.Limit):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// wantStatus fails the test if the answer has another status.
func wantStatus(t *testing.T, a answer, status int) {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("status %d %q, want %d", a.StatusCode, a.Text, status)
	}
}
