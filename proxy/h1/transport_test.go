package h1

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
	"github.com/pillion-lb/pillion/proxy/wire"
)

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func request(t testing.TB, method string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, "http://a/", body)
	if err != nil {
		t.Fatal(err)
	}

	return r
}

func transport(t testing.TB, address string) *Transport {
	tr := &Transport{Address: address}
	t.Cleanup(tr.CloseIdle)
	return tr
}

// fetch is one transaction, read to its end.
func fetch(t testing.TB, tr *Transport, r *http.Request, c *wire.Call) (string, *wire.Error) {
	t.Helper()
	resp, err := tr.Send(r, c)
	if err != nil {
		return "", err.(*wire.Error)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return string(b), err.(*wire.Error)
	}

	return string(b), nil
}

func TestTransport_TrustsNoCaller(t *testing.T) {
	t.Parallel()
	tr := &Transport{Address: "b:80"}
	for name, spoil := range map[string]func(r *http.Request, c *wire.Call){
		"method":         func(r *http.Request, _ *wire.Call) { r.Method = "GET /x HTTP/1.1" },
		"target":         func(r *http.Request, _ *wire.Call) { r.RequestURI = "/a b" },
		"target CR LF":   func(r *http.Request, _ *wire.Call) { r.RequestURI = "/a\r\nX: y" },
		"target escape":  func(r *http.Request, _ *wire.Call) { r.RequestURI = "/%4" },
		"host":           func(r *http.Request, _ *wire.Call) { r.Host = "a\r\nX: y" },
		"overlay's host": func(_ *http.Request, c *wire.Call) { c.Host = "a b" },
		"name":           func(r *http.Request, _ *wire.Call) { r.Header["X: y\r\nZ"] = []string{"1"} },
		"value":          func(r *http.Request, _ *wire.Call) { r.Header["X"] = []string{"1\nY: 2"} },
		"overlay":        func(_ *http.Request, c *wire.Call) { c.Fields = []wire.Field{{Name: "X", Value: "1\r\nY: 2"}} },
	} {
		r, c := request(t, "GET", nil), &wire.Call{}
		spoil(r, c)
		if out, err := tr.appendRequest(nil, r, c, 0); err == nil {
			t.Errorf("%s was sent: %q", name, out)
		}
	}

	r := request(t, "POST", nil)
	r.URL.Path = "/a\r\nX: y"
	for name, value := range map[string]string{
		"Content-Length": "0", "content-length": "5", "Transfer-Encoding": "gzip", "Trailer": "Host", "Connection": "X-A",
		"Upgrade": "h2c", "Te": "gzip", "Host": "evil", "Keep-Alive": "1", "Http2-Settings": "AAA",
		"Proxy-Connection": "close", "X-A": " padded ",
	} {
		r.Header[name] = []string{value, value}
	}

	c := &wire.Call{Fields: []wire.Field{{Name: "host", Value: "evil"}, {Name: "Content-Length", Value: "7"},
		{Name: "x-b", Value: "2"}, {Name: "Connection", Value: "close"}}}
	out, err := tr.appendRequest(nil, r, c, 3)
	want := "POST /a%0D%0AX:%20y HTTP/1.1\r\nHost: a\r\nX-A: padded\r\nX-A: padded\r\nX-B: 2\r\nContent-Length: 3\r\n\r\n"
	if err != nil || string(out) != want {
		t.Errorf("%q %v", out, err)
	}
}

func TestTransport_OverlayLeavesTheRequestAlone(t *testing.T) {
	t.Parallel()
	tr := &Transport{Address: "b:80"}
	r := request(t, "GET", nil)
	r.Header = http.Header{"X-A": {"1", "2"}, "X-B": {"3"}}
	out, err := tr.appendRequest(nil, r,
		&wire.Call{Host: "other", Fields: []wire.Field{{Name: "x-a", Value: "9"}, {Name: "X-B", Value: ""}}}, 0)
	if want := "GET / HTTP/1.1\r\nHost: other\r\nX-A: 9\r\n\r\n"; err != nil || string(out) != want {
		t.Errorf("%q %v", out, err)
	}

	if len(r.Header["X-A"]) != 2 || len(r.Header["X-B"]) != 1 {
		t.Error(r.Header)
	}
}

func TestTransport_TargetIsTheReceivedBytes(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{"GET", "/a%2Fb//c?%zz&x=|", "/a%2Fb//c?%zz&x=|"},
		{"GET", "http://h/p%20q?r", "/p%20q?r"},
		{"GET", "http://h?r", "/?r"},
		{"GET", "http://h", "/"},
		{"OPTIONS", "http://h", "*"},
		{"OPTIONS", "*", "*"},
		{"GET", "", "/"},
	} {
		r := request(t, c[0], nil)
		r.RequestURI = c[1]
		if got := targetOf(r); got != c[2] {
			t.Errorf("%s: %s", c[1], got)
		}
	}
}

func TestTransport_ReusesTheLastConnection(t *testing.T) {
	t.Parallel()
	var conns atomic.Int32

	tr := transport(t, backend(t, func(n int, c *client) {
		conns.Add(1)
		for c.head() != "" {
			io.WriteString(c, ok)
		}
	}))
	for i := range 5 {
		c := &wire.Call{}
		if body, err := fetch(t, tr, request(t, "GET", nil), c); err != nil || body != "ok" || c.Reused != (i > 0) {
			t.Fatal(body, err, c.Reused)
		}
		if c.Written.IsZero() || c.FirstByte.Before(c.Written) {
			t.Error(c.Written, c.FirstByte)
		}
	}

	if conns.Load() != 1 || tr.Idle() != 1 {
		t.Error(conns.Load(), tr.Idle())
	}

	tr.CloseIdle()
	if tr.Idle() != 0 {
		t.Error("idle connections were kept")
	}
}

// TestTransport_DeadPooledConnectionIsNoticed: the backend closes, or speaks,
// between two requests.
func TestTransport_DeadPooledConnectionIsNoticed(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]string{"closed": "",
		"spoke": "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			did := make(chan bool, 2)
			finish := make(chan bool)
			defer close(finish)

			tr := transport(t, backend(t, func(n int, c *client) {
				c.head()
				io.WriteString(c, ok)
				if n > 0 {
					return
				}

				io.WriteString(c, after)
				if after == "" {
					c.Close()
				}

				did <- true
				<-finish
			}))
			for i := range 2 {
				c := &wire.Call{}
				body, err := fetch(t, tr, request(t, "POST", nil), c)
				if err != nil || body != "ok" {
					t.Fatalf("%d: %q %v", i, body, err)
				}

				if i == 0 {
					<-did
				}
			}
		})
	}
}

func TestTransport_BytesBehindAResponseEndTheConnection(t *testing.T) {
	t.Parallel()
	tr := transport(t, answering(t, ok+"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"))
	for range 3 {
		if body, err := fetch(t, tr, request(t, "GET", nil), &wire.Call{}); err != nil || body != "ok" {
			t.Fatal(body, err)
		}
	}

	if tr.Idle() != 0 {
		t.Error("a connection with bytes of no response was kept")
	}
}

// TestTransport_BytesBehindAHeadOnlyResponse come late, when the connection is
// in the pool already.
func TestTransport_BytesBehindAHeadOnlyResponse(t *testing.T) {
	t.Parallel()
	poison := make(chan bool)
	poisoned := make(chan bool)

	tr := transport(t, backend(t, func(n int, c *client) {
		c.head()
		if n > 0 {
			io.WriteString(c, ok)
			return
		}

		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 44\r\n\r\n")
		<-poison
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
		close(poisoned)
		c.head()
	}))
	fetch(t, tr, request(t, "HEAD", nil), &wire.Call{})
	close(poison)
	<-poisoned
	tr.idle[0].since = time.Now().Add(time.Hour)
	if body, err := fetch(t, tr, request(t, "GET", nil), &wire.Call{}); err != nil || body != "ok" {
		t.Error(body, err)
	}
}

func TestTransport_DeathWithoutAByteIsNoAnswer(t *testing.T) {
	t.Parallel()
	tr := transport(t, backend(t, func(n int, c *client) { c.head() }))
	c := &wire.Call{}
	if _, err := fetch(t, tr, request(t, "GET", nil), c); err == nil || err.Outcome != wire.NoAnswer ||
		err.Phase != wire.Head {
		t.Errorf("%+v", err)
	}

	c = &wire.Call{}
	r := request(t, "GET", nil)
	r.Method = "B A D"
	if _, err := fetch(t, tr, r, c); err == nil || err.Outcome != wire.NotSent {
		t.Errorf("%+v", err)
	}
}

// TestTransport_NothingSentIsSentElsewhere: the kernel refuses the first byte
// on each pooled connection.
func TestTransport_NothingSentIsSentElsewhere(t *testing.T) {
	t.Parallel()
	tr := transport(t, answering(t, ok))
	var bodies []*http.Response

	for range 3 {
		resp, err := tr.Send(request(t, "GET", nil), &wire.Call{})
		if err != nil {
			t.Fatal(err)
		}
		io.ReadAll(resp.Body)
		bodies = append(bodies, resp)
	}

	for _, resp := range bodies {
		resp.Body.Close()
	}

	for _, l := range tr.idle {
		l.c.(*net.TCPConn).CloseWrite()
		l.since = time.Now().Add(time.Hour) // so young that nobody looks
	}

	c := &wire.Call{}
	if body, err := fetch(t, tr, request(t, "GET", nil), c); err != nil || body != "ok" || c.Reused {
		t.Error(body, err, c.Reused)
	}
}

func TestTransport_IdleLimitIsLearned(t *testing.T) {
	t.Parallel()
	for field, want := range map[string]time.Duration{
		"timeout=5, max=100": 4 * time.Second, "max=1, Timeout=1": 500 * time.Millisecond, "timeout=3": 2 * time.Second,
		"timeout=600": 4 * time.Second, "": 4 * time.Second, "timeout=x": 4 * time.Second, "timeout=0": 0,
		"timeout=99999999999": 4 * time.Second,
	} {
		if got := keepFor(field, 4*time.Second); got != want {
			t.Errorf("%q: %v", field, got)
		}
	}

	tr := transport(t, answering(t, "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=3\r\nContent-Length: 0\r\n\r\n"))
	fetch(t, tr, request(t, "GET", nil), &wire.Call{})
	tr.mu.Lock()
	l := tr.idle[0]
	l.since = l.since.Add(-2 * time.Second)
	tr.mu.Unlock()
	c := &wire.Call{}
	if fetch(t, tr, request(t, "GET", nil), c); c.Reused {
		t.Error("a connection over its idle limit was used")
	}

	tr.mu.Lock()
	tr.idle[0].since = time.Now().Add(-time.Hour)
	tr.mu.Unlock()
	if tr.sweep(); tr.Idle() != 0 {
		t.Error("a connection over its idle limit was kept")
	}
}

func TestTransport_ASecondCloseTouchesNobodyElse(t *testing.T) {
	t.Parallel()
	tr := transport(t, answering(t, ok))
	first, err := tr.Send(request(t, "GET", nil), &wire.Call{})
	if err != nil {
		t.Fatal(err)
	}

	io.ReadAll(first.Body)
	first.Body.Close()
	second, err := tr.Send(request(t, "GET", nil), &wire.Call{})
	if err != nil {
		t.Fatal(err)
	}

	first.Body.Close()
	if tr.Idle() != 0 {
		t.Fatal("a connection in use went to the pool")
	}
	if n, err := first.Body.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Error("a closed body was read")
	}

	if b, err := io.ReadAll(second.Body); string(b) != "ok" || err != nil {
		t.Error(b, err)
	}

	second.Body.Close()
}

func TestTransport_CloseIdleEndsConnectionsInUseLater(t *testing.T) {
	t.Parallel()
	tr := transport(t, answering(t, ok))
	resp, err := tr.Send(request(t, "GET", nil), &wire.Call{})
	if err != nil {
		t.Fatal(err)
	}

	tr.CloseIdle()
	if b, err := io.ReadAll(resp.Body); string(b) != "ok" || err != nil {
		t.Error(string(b), err)
	}

	resp.Body.Close()
	if tr.Idle() != 0 {
		t.Error("kept")
	}
}

func TestTransport_BodiesUntilClose(t *testing.T) {
	t.Parallel()
	for _, head := range []string{"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n"} {
		tr := transport(t, backend(t, func(_ int, c *client) {
			c.head()
			io.WriteString(c, head+"all of it")
		}))
		if body, err := fetch(t, tr, request(t, "GET", nil), &wire.Call{}); err != nil || body != "all of it" ||
			tr.Idle() != 0 {
			t.Error(body, err, tr.Idle())
		}
	}
}

func TestTransport_CutBodiesAreBroken(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX Sum: 3\r\n\r\n",
	} {
		tr := transport(t, backend(t, func(_ int, c *client) {
			c.head()
			io.WriteString(c, answer)
		}))
		body, err := fetch(t, tr, request(t, "GET", nil), &wire.Call{})
		if err == nil || err.Outcome != wire.Broken || err.Phase != wire.Body || body != "hello" || tr.Idle() != 0 {
			t.Errorf("%q: %q %+v", answer, body, err)
		}
	}
}

func TestTransport_TimeoutsByPhase(t *testing.T) {
	t.Parallel()
	hold := make(chan bool)
	defer close(hold)
	silent := backend(t, func(_ int, c *client) { c.head(); <-hold })

	half := backend(t, func(_ int, c *client) {
		c.head()
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
		<-hold
	})
	for name, c := range map[string]struct {
		address string
		call    wire.Call
		within  time.Duration
		outcome wire.Outcome
		phase   wire.Phase
	}{
		"response": {silent, wire.Call{ResponseTimeout: 20 * time.Millisecond}, 0, wire.NoAnswer, wire.Head},
		"deadline": {silent, wire.Call{}, 300 * time.Millisecond, wire.NoAnswer, wire.Head},
		"stall":    {half, wire.Call{}, 0, wire.Broken, wire.Body},
		"body":     {half, wire.Call{}, 300 * time.Millisecond, wire.Broken, wire.Body},
	} {
		tr := &Transport{Address: c.address}
		if c.within > 0 {
			c.call.Deadline = time.Now().Add(c.within)
		}
		if name == "stall" {
			tr.StallTimeout = 80 * time.Millisecond
		}

		_, err := fetch(t, tr, request(t, "GET", nil), &c.call)
		if err == nil || !err.Timeout || err.Outcome != c.outcome || err.Phase != c.phase {
			t.Errorf("%s: %+v", name, err)
		}
	}

	_, err := fetch(t, &Transport{Address: silent}, request(t, "GET", nil),
		&wire.Call{Deadline: time.Now().Add(-time.Second)})
	if err == nil || !err.Timeout || err.Outcome != wire.NotSent || err.Phase != wire.Connect {
		t.Errorf("past deadline: %+v", err)
	}
}

func TestTransport_ForeignContextEndsTheTransaction(t *testing.T) {
	t.Parallel()
	arrived, hold := make(chan bool, 1), make(chan bool)
	defer close(hold)
	tr := transport(t, backend(t, func(_ int, c *client) { c.head(); arrived <- true; <-hold }))
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-arrived; cancel() }()
	if _, err := fetch(t, tr, request(t, "GET", nil).WithContext(ctx), &wire.Call{}); err == nil ||
		err.Client != wire.Gone || !errors.Is(err, context.Canceled) {
		t.Errorf("%+v", err)
	}
}

func TestTransport_RefusedIsNotSentAndTheFallbackIsTried(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	refused := l.Addr().String()
	l.Close()
	if _, err := fetch(t, &Transport{Address: refused}, request(t, "GET", nil), &wire.Call{}); err == nil ||
		err.Outcome != wire.NotSent || err.Phase != wire.Connect {
		t.Errorf("%+v", err)
	}

	tr := transport(t, refused)
	tr.Fallback = answering(t, ok)
	if body, err := fetch(t, tr, request(t, "GET", nil), &wire.Call{}); err != nil || body != "ok" {
		t.Error(body, err)
	}
}

// lenBody is a body in memory.
type lenBody struct{ *bytes.Reader }

func (lenBody) Close() error { return nil }

// slowBody is a body that is not.
type slowBody struct{ io.Reader }

func (slowBody) Close() error { return nil }

func TestTransport_AllKindsOfRequestBodies(t *testing.T) {
	t.Parallel()
	addr := goBackend(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%d %v %d %s", r.ContentLength, r.TransferEncoding, len(b), r.Trailer.Get("X-T"))
	})

	content := strings.Repeat("x", 100_000)
	for name, c := range map[string]struct {
		call   wire.Call
		length int64
		size   int
		want   string
	}{
		"in memory": {wire.Call{}, 1000, 1000, "1000 [] 1000 "},
		"streamed":  {wire.Call{}, 100_000, 100_000, "100000 [] 100000 "},
		"chunked":   {wire.Call{}, -1, 100_000, "-1 [chunked] 100000 v"},
		"none":      {wire.Call{}, 0, 0, "0 [] 0 "},
	} {
		for _, memory := range []bool{true, false} {
			r := request(t, "POST", nil)
			r.ContentLength = c.length
			if c.length < 0 {
				r.Trailer = http.Header{"X-T": {"v"}}
			}

			reader := bytes.NewReader([]byte(content[:c.size]))
			c.call.Body = slowBody{reader}
			if memory {
				c.call.Body = lenBody{reader}
			}

			tr := transport(t, addr)
			for range 2 {
				reader.Seek(0, io.SeekStart)
				if body, err := fetch(t, tr, r, &c.call); err != nil || body != c.want {
					t.Errorf("%s: %q %v", name, body, err)
				}
			}

			if tr.Idle() != 1 {
				t.Errorf("%s: connection not kept", name)
			}
		}
	}
}

func TestTransport_RoundTripSendsBodiesOfUnknownLength(t *testing.T) {
	t.Parallel()
	tr := transport(t, goBackend(t, echo))
	client := &http.Client{Transport: tr}
	resp, err := client.Post("http://a/x", "text/plain", io.MultiReader(strings.NewReader("hello")))
	if err != nil {
		t.Fatal(err)
	}

	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(b) != "hello" || err != nil {
		t.Errorf("%q %v", b, err)
	}
}

func TestTransport_InterimResponses(t *testing.T) {
	t.Parallel()
	tr := transport(t, answering(t, "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"+ok))
	var seen []string
	c := &wire.Call{Informational: func(code int, h http.Header) { seen = append(seen, fmt.Sprint(code, h.Get("Link"))) }}
	if body, err := fetch(t, tr, request(t, "GET", nil), c); err != nil || body != "ok" ||
		!slices.Equal(seen, []string{"103a", "102"}) {
		t.Error(body, err, seen)
	}

	tr = transport(t, answering(t, strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 500)+ok))
	if body, err := fetch(t, tr, request(t, "GET", nil), &wire.Call{}); err != nil || body != "ok" {
		t.Error(body, err)
	}
}

func TestTransport_TLS(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.HandlerFunc(echo))
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	tr := transport(t, s.Listener.Addr().String())
	asked := 0
	tr.TLS = func() *tls.Config { asked++; return &tls.Config{RootCAs: roots} }

	for i := range 3 {
		r := request(t, "POST", strings.NewReader("hello"))
		r.Body = slowBody{strings.NewReader("hello")}
		c := &wire.Call{}
		if body, err := fetch(t, tr, r, c); err != nil || body != "hello" || c.Reused != (i > 0) {
			t.Fatal(body, err, c.Reused)
		}
	}

	if asked != 1 {
		t.Error(asked)
	}

	tr = transport(t, s.Listener.Addr().String())
	tr.TLS = func() *tls.Config { return &tls.Config{} }
	if _, err := fetch(t, tr, request(t, "GET", nil), &wire.Call{}); err == nil || err.Outcome != wire.NotSent ||
		err.Phase != wire.Connect {
		t.Errorf("%+v", err)
	}
}

// A connection may be so full that the kernel takes nothing of the next
// request's first write. What an upload then sends in its place is sent: a POST
// that gets no answer may have been acted on.
func TestTransport_WhatAnUploadSentIsNotUnsent(t *testing.T) {
	t.Parallel()
	full := make(chan struct{})
	tr := transport(t, backend(t, func(_ int, c *client) {
		c.head()
		io.WriteString(c, ok)
		<-full

		for line := ""; !strings.HasPrefix(line, "POST "); {
			b, err := c.r.ReadSlice('\n')
			if line = string(b); err != nil {
				t.Error(err)
				return
			}
		}
	}))
	if _, err := fetch(t, tr, request(t, "GET", nil), new(wire.Call)); err != nil {
		t.Fatal(err)
	}

	raw, filler := tr.idle[0].raw, bytes.Repeat([]byte("\n"), 64<<10)
	if raw == nil {
		t.Skip("a connection without a poller is written to by waiting")
	}

	raw.Write(func(fd uintptr) bool {
		for {
			if _, errno := socket.Send(int(fd), &[3][]byte{filler}); errno != 0 {
				return true
			}
		}
	})

	// behind the first write; before it, this proves nothing
	time.AfterFunc(50*time.Millisecond, func() { close(full) })
	r := request(t, "POST", strings.NewReader("hello"))
	_, err := tr.Send(r, new(wire.Call))
	if e, is := err.(*wire.Error); !is || e.Outcome != wire.NoAnswer {
		t.Errorf("%v, outcome %d", err, e.Outcome)
	}
}
