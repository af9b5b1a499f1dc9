package test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/backend"
)

// closer is a backend that closes its connections in a way that the test
// chooses. It counts the requests that it received.
type closer struct {
	*backend.Raw
	arrived tally
	slow    atomic.Int64 // ends that came so late that they met a request
}

// unlucky is how many of 200 requests may be lost because the busy machine
// delayed Pillion instead of the backend. Without the mechanism under test, 8
// or more are lost.
const unlucky = 2

// startCloser has a backend that answers so many requests on a connection, and
// then gives it to end.
func startCloser(t *testing.T, answers int, end func(b *closer, c *backend.Conn)) *closer {
	b := new(closer)
	b.Raw = backend.StartRaw(t, "closer", func(c *backend.Conn) {
		var answered time.Time
		for range answers {
			r, err := http.ReadRequest(c.In)
			if err != nil {
				return
			}
			if r.Header.Get("Expect") != "" {
				_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}

			b.arrived.Add(r.Header.Get("X-N"))
			answered = time.Now()
			_, _ = io.WriteString(c, backend.Answer(200, "plain"))
		}

		end(b, c)
		if time.Since(answered) > 5*time.Millisecond {
			b.slow.Add(1)
		}
	})

	return b
}

// closes closes a connection without announcing it, as servers do at a restart.
func closes(_ *closer, c *backend.Conn) { _ = c.Close() }

// undeliverable are requests whose bodies reach the backend in different ways.
var undeliverable = map[string]struct {
	method, body string
	chunked      bool
	fields       []string
}{
	"GET":         {method: "GET"},
	"HEAD":        {method: "HEAD"},
	"PUT":         {method: "PUT", body: "body!"},
	"DELETE":      {method: "DELETE"},
	"POST":        {method: "POST", body: "body!"},
	"empty POST":  {method: "POST"},
	"PATCH":       {method: "PATCH", body: "body!"},
	"chunked":     {method: "POST", body: "body!", chunked: true},
	"large":       {method: "POST", body: strings.Repeat("x", 300<<10)},
	"Expect":      {method: "POST", body: "body!", fields: []string{"Expect", "100-continue"}},
	"large PATCH": {method: "PATCH", body: strings.Repeat("x", 100<<10), chunked: true},
}

// No request is lost, and none is delivered twice, because a kept connection
// was closed.
func TestUndelivered_ASilentCloseCostsNoRequest(t *testing.T) {
	t.Parallel()
	for name, kind := range undeliverable {
		for _, answers := range []int{1, 3, 10} {
			t.Run(fmt.Sprint(name, " after ", answers), func(t *testing.T) {
				t.Parallel()
				b := startCloser(t, answers, closes)
				p := pillion.Start(t, append(calm, b.Environment())...)
				failed := runUndelivered(t, 200, 4, func(n string) *http.Request {
					var body io.Reader = strings.NewReader(kind.body)
					if kind.chunked {
						body = io.MultiReader(body)
					}
					if kind.body == "" {
						body = nil
					}

					return newRequest(t, kind.method, p.URL("/"), body, append(kind.fields, "X-N", n)...)
				})

				b.wantAtMostOnce(t, kind.method != "GET" && kind.method != "HEAD")
				if slow := b.slow.Load(); failed > slow+unlucky {
					t.Errorf("%d requests failed, and %d ends came late", failed, slow)
				}
			})
		}
	}
}

// runUndelivered has clients send n requests, and returns how many of them
// failed.
func runUndelivered(t *testing.T, n, clients int, request func(n string) *http.Request) int64 {
	t.Helper()
	var next, failed atomic.Int64
	var all sync.WaitGroup
	for range clients {
		client := newClient(t)
		client.Transport.(*http.Transport).ExpectContinueTimeout = time.Second
		all.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				resp, err := client.Do(request(fmt.Sprint(i)))
				if err != nil {
					t.Error(err)
					return
				}

				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					failed.Add(1)
				}
			}
		})
	}

	all.Wait()
	return failed.Load()
}

// wantAtMostOnce fails when a request arrived more often than once.
func (b *closer) wantAtMostOnce(t *testing.T, strict bool) {
	t.Helper()
	b.arrived.mu.Lock()
	defer b.arrived.mu.Unlock()
	for n, count := range b.arrived.counts {
		if strict && count > 1 {
			t.Errorf("request %s arrived %d times", n, count)
		}
	}
}

// A backend that took a request and then broke the connection may have acted on
// it, however little TCP knows of that.
func TestUndelivered_WhatWasReadIsNotSentAgain(t *testing.T) {
	t.Parallel()
	reset := func(c *backend.Conn) {
		_ = c.Conn.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
	for name, end := range map[string]func(c *backend.Conn){
		"closed":                func(c *backend.Conn) { _ = c.Close() },
		"reset":                 reset,
		"half-closed":           func(c *backend.Conn) { _ = c.Conn.(*net.TCPConn).CloseWrite(); _, _ = c.In.ReadByte() },
		"half-closed and reset": func(c *backend.Conn) { _ = c.Conn.(*net.TCPConn).CloseWrite(); reset(c) },
	} {
		for _, length := range []int{5, 5000, 300 << 10} {
			t.Run(fmt.Sprint(name, " after ", length), func(t *testing.T) {
				t.Parallel()
				b := startCloser(t, 5, func(b *closer, c *backend.Conn) {
					head, err := c.ReadHead()
					if err != nil {
						return
					}

					r := backend.Request{Head: head}
					b.arrived.Add(r.Fields("X-N")[0])
					end(c)
				})
				p := pillion.Start(t, append(calm, b.Environment())...)
				body := strings.Repeat("x", length)
				failed := runUndelivered(t, 60, 1, func(n string) *http.Request {
					return newRequest(t, "POST", p.URL("/"), strings.NewReader(body), "X-N", n)
				})

				b.wantAtMostOnce(t, true)
				if failed != 10 {
					t.Errorf("%d of 60 failed, want every sixth", failed)
				}
			})
		}
	}
}
