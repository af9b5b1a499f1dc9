//go:build linux && (amd64 || arm64)

package h1

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// again is a body that can be read again from its start, as the proxy's are.
type again struct {
	io.Reader
	text string
}

func (a *again) Close() error { return nil }

func (a *again) Again() (io.ReadCloser, bool) { return &again{strings.NewReader(a.text), a.text}, true }

// kept is a link that has carried a few requests, so that its backend no longer
// acknowledges at once what it receives, and the backend's side of it.
func kept(t *testing.T) (*Transport, *link, net.Conn) {
	t.Helper()
	ours := make(chan net.Conn, 1)
	release := make(chan struct{})
	tr := transport(t, backend(t, func(_ int, c *client) {
		for range 4 {
			c.head()
			io.WriteString(c, ok)
		}
		ours <- c.Conn
		<-release
	}))
	t.Cleanup(func() { close(release) })

	for range 4 {
		if _, err := fetch(t, tr, request(t, "GET", nil), &wire.Call{}); err != nil {
			t.Fatal(err)
		}
	}

	l := tr.pop()
	l.reused = true

	return tr, l, <-ours
}

// kinds are requests whose bodies go out in different ways.
func kinds(t *testing.T) map[string]func() (*http.Request, *wire.Call) {
	large := strings.Repeat("x", 200<<10)
	of := func(method, text string, length int64, fields ...string) func() (*http.Request, *wire.Call) {
		return func() (*http.Request, *wire.Call) {
			r := request(t, method, nil)
			r.ContentLength = length
			for i := 0; i < len(fields); i += 2 {
				r.Header.Set(fields[i], fields[i+1])
			}

			return r, &wire.Call{Body: &again{strings.NewReader(text), text}}
		}
	}

	return map[string]func() (*http.Request, *wire.Call){
		"GET":     of("GET", "", 0),
		"DELETE":  of("DELETE", "", 0),
		"POST":    of("POST", "body!", 5),
		"PATCH":   of("PATCH", "body!", 5),
		"chunked": of("POST", "body!", -1),
		"large":   of("POST", large, int64(len(large))),
		"Expect":  of("POST", "body!", 5, "Expect", "100-continue"),
		"in memory": func() (*http.Request, *wire.Call) {
			r := request(t, "POST", nil)
			r.ContentLength, r.Body = 5, nil

			return r, &wire.Call{Body: inMemory{bytes.NewReader([]byte("body!"))}}
		},
	}
}

// inMemory is a body that goes out with the head.
type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }

func (inMemory) Again() (io.ReadCloser, bool) {
	return inMemory{bytes.NewReader([]byte("body!"))}, true
}

// The backend's end is there, and the request goes out all the same, as if both
// had met on their way.
func TestDelivery_NothingReachesABackendThatHasClosed(t *testing.T) {
	t.Parallel()
	for name, make := range kinds(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, l, theirs := kept(t)
			theirs.Close()

			r, c := make()
			_, err := l.send(r, c)
			if e, is := err.(*wire.Error); !is || e.Outcome != wire.Undelivered {
				t.Fatalf("%#v, want Undelivered", err)
			}
			if !l.repeat(c) {
				t.Error("the request can't be repeated")
			}
		})
	}
}

// Whatever a backend may have read is not sent again.
func TestDelivery_WhatWasPerhapsReadIsNotUndelivered(t *testing.T) {
	t.Parallel()
	reset := func(c net.Conn) {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	ends := map[string]func(c net.Conn, over <-chan struct{}){
		"reads all and closes":  func(c net.Conn, _ <-chan struct{}) { readAll(c); c.Close() },
		"reads all and resets":  func(c net.Conn, _ <-chan struct{}) { readAll(c); reset(c) },
		"reads some and closes": func(c net.Conn, _ <-chan struct{}) { c.Read(make([]byte, 10)); c.Close() },
		"reads some and resets": func(c net.Conn, _ <-chan struct{}) { c.Read(make([]byte, 10)); reset(c) },
		"half-closes and reads": func(c net.Conn, over <-chan struct{}) {
			c.(*net.TCPConn).CloseWrite()
			readAll(c)
			<-over
		},
	}
	for name, end := range ends {
		for kind, request := range kinds(t) {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				_, l, theirs := kept(t)
				over := make(chan struct{})
				done := goes(func() { end(theirs, over) })

				r, c := request()
				_, err := l.send(r, c)
				close(over)
				<-done
				if e, is := err.(*wire.Error); !is || e.Outcome != wire.NoAnswer {
					t.Fatalf("%#v, want NoAnswer", err)
				}
			})
		}
	}
}

// readAll reads what is there, once there is anything.
func readAll(c net.Conn) { c.Read(make([]byte, 1<<20)) }

// goes runs f beside the test.
func goes(f func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()

	return done
}

// The number of bytes that the kernel counts proves a delivery only if Pillion
// counts every byte of the connection too.
func TestDelivery_EveryByteOfAConnectionIsCounted(t *testing.T) {
	t.Parallel()
	tr := transport(t, backend(t, func(_ int, c *client) {
		for {
			r, err := http.ReadRequest(c.r)
			if err != nil {
				return
			}
			if r.Header.Get("Expect") != "" {
				io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
			}
			io.Copy(io.Discard, r.Body)
			io.WriteString(c, ok)
		}
	}))

	for name, make := range kinds(t) {
		r, c := make()
		if _, err := fetch(t, tr, r, c); err != nil {
			t.Fatal(name, err)
		}

		l := tr.pop()
		if l == nil {
			continue // the upload's goroutine was slow to end
		}

		for end := time.Now().Add(5 * time.Second); l.delivery().Acknowledged < l.before && time.Now().Before(end); {
			runtime.Gosched()
		}
		if d := l.delivery(); d.Acknowledged != l.before {
			t.Errorf("after %s %d bytes are acknowledged, %d were counted", name, d.Acknowledged, l.before)
		}

		tr.put(l)
	}
}

// A backend that closes after n answers gets no request on a connection of
// which that could be true.
func TestDelivery_AConnectionIsProvenByOneThatRested(t *testing.T) {
	t.Parallel()
	tr := transport(t, answering(t, ok))
	post := func() *http.Request { r := request(t, "POST", nil); r.ContentLength = 0; return r }
	for _, want := range []int64{0, 0, 1, 2} {
		if got := tr.proven.Load(); got != want {
			t.Errorf("%d requests are proven, want %d", got, want)
		}
		if _, err := fetch(t, tr, post(), &wire.Call{}); err != nil {
			t.Fatal(err)
		}
	}

	l := tr.pop()
	if !l.restless(post()) || l.restless(request(t, "GET", nil)) {
		t.Error("only what can't be repeated waits")
	}

	l.uses = unlimited
	tr.prove(l.uses)
	l.uses = 1 << 20
	if l.restless(post()) {
		t.Error("there is a limit beyond the last")
	}

	l.uses, l.since = 7, time.Now()
	l.ended(l.since.Add(hasty + 1))
	if tr.proven.Load() < unlimited {
		t.Error("an end after a long silence counts")
	}

	l.ended(l.since)
	if got := tr.proven.Load(); got != 6 {
		t.Errorf("after an end behind the 7th answer %d requests are proven", got)
	}

	l.close()
}
