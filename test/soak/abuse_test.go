package soak

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// abusers is the number of clients for each kind of abuse.
const abusers = 3

// TestAbuse_OrdinaryClientsNoticeNothing runs clients of every abusive kind
// together with ordinary clients of both versions of HTTP. No ordinary request
// fails, and nothing of the abuse is left when it ends.
func TestAbuse_OrdinaryClientsNoticeNothing(t *testing.T) {
	env := []string{
		abused(t), "LB_SESSION_AFFINITY=cookie", "LB_AFFINITY_SECRET=a-secret-of-the-test", "LB_RETRIES=2",
		"LB_RETRY_BUDGET=100%", "LB_ACCESS_LOG=errors",
		"LB_STALL_TIMEOUT=2s", "LB_HEADER_TIMEOUT=2s", "LB_EJECT_TIME=100ms",
	}
	program, control := start(t, env...), start(t, env...)
	for _, s := range []*subject{program, control} {
		s.burst(128)
		abuse(t, s, time.Second)
		s.settle()
	}

	before := program.settle()
	t.Logf("before: %v", before)
	for part := range 4 { // the log then shows what grows
		abuse(t, program, *abusing/4)
		t.Logf("after %v: %v", time.Duration(part+1)**abusing/4, program.settle())
	}

	after := program.wantLevel(before)
	t.Logf("after:  %v", after)
	program.wantGoroutines(control)
}

// abused starts well-behaved backends and returns LB_BACKENDS for them. They
// speak HTTP/1.1, because net/http's HTTP/2 server closes a connection with too
// many reset streams, and with it the requests of ordinary clients.
func abused(t *testing.T) string {
	t.Helper()
	var targets []string
	for _, name := range []string{"a", "b", "c"} {
		targets = append(targets, backend.Start(t, name, obey).Target())
	}

	return "LB_BACKENDS=" + strings.Join(targets, ";")
}

// big is a body that takes a while to send.
var big = bytes.Repeat([]byte("big "), 64<<10)

// obey answers as the path says.
func obey(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/big":
		_, _ = w.Write(big)
	case "/cut":
		w.Header().Set("Content-Length", fmt.Sprint(len(big)))
		_, _ = w.Write(big[:len(big)/2])
		panic(http.ErrAbortHandler)
	case "/drop":
		panic(http.ErrAbortHandler)
	case "/early":
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	case "/trailers":
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "a body")
		w.Header().Set(http.TrailerPrefix+"X-Last", "word")
	default:
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(append([]byte("got "), body...))
	}
}

// abuse runs all clients for a time.
func abuse(t *testing.T, s *subject, long time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	var all sync.WaitGroup
	for name, kind := range abuses {
		var rounds atomic.Int64
		var group sync.WaitGroup
		for range abusers {
			group.Go(func() {
				for ctx.Err() == nil {
					kind(&abuser{ctx: ctx, address: s.Address})
					rounds.Add(1)
				}
			})
		}

		all.Go(func() {
			group.Wait()
			t.Logf("%-16s %6d times", name, rounds.Load())
		})
	}

	var asked atomic.Int64
	for i := range 6 {
		all.Go(func() { ordinary(t, ctx, s, i, &asked) })
	}

	all.Wait()
	t.Logf("%d ordinary requests", asked.Load())
	if asked.Load() == 0 {
		t.Error("no ordinary request was served, want some")
	}
}

// ordinary is a client that behaves well. All its requests must succeed.
func ordinary(t *testing.T, ctx context.Context, s *subject, i int, asked *atomic.Int64) {
	var protocols http.Protocols
	protocols.SetHTTP1(i%2 == 0)
	protocols.SetUnencryptedHTTP2(i%2 == 1)
	transport := &http.Transport{Protocols: &protocols, DisableCompression: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: await.Limit}

	for n := 0; ctx.Err() == nil; n++ {
		method, body := http.MethodGet, ""
		if n%3 > 0 {
			method, body = http.MethodPost, strings.Repeat("x", 1+n%3*n*97%90_000)
		}

		r, _ := http.NewRequestWithContext(t.Context(), method, s.URL("/"), strings.NewReader(body))
		r.Host = "ordinary.example" // to find its lines in a log
		response, err := client.Do(r)
		if err != nil {
			t.Errorf("an ordinary %s over %v: %v", method, protocols, err)
			return
		}

		text, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || string(text) != "got "+body {
			t.Errorf("an ordinary %s of %d bytes over %v: %d, %d bytes %v",
				method, len(body), protocols, response.StatusCode, len(text), err)
			return
		}

		asked.Add(1)
	}
}
