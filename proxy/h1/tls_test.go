package h1

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// secure starts a server behind TLS and returns how to reach it.
func secure(t *testing.T, s *Server, protocols ...string) (addr string, client *tls.Config) {
	t.Helper()
	donor := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(donor.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	serveOn(t, s, tls.NewListener(l, &tls.Config{Certificates: donor.TLS.Certificates, NextProtos: protocols}))
	return l.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: protocols}
}

func dialTLS(t *testing.T, addr string, config *tls.Config) *client {
	t.Helper()
	c, err := tls.Dial("tcp", addr, config)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return &client{t, c, bufio.NewReader(c)}
}

func TestServer_TLS(t *testing.T) {
	t.Parallel()
	s := handler(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || !r.TLS.HandshakeComplete {
			t.Error("no TLS in the request")
		}
		echo(w, r)
	})
	addr, config := secure(t, s)

	k := dialTLS(t, addr, config)
	for range 3 {
		k.send("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
		if resp, body := k.response("POST"); resp.StatusCode != 200 || body != "hello" {
			t.Fatal(resp, body)
		}
	}
}

func TestServer_TLSThatAgreedOnHTTP2IsHandedOver(t *testing.T) {
	t.Parallel()
	got := make(chan net.Conn, 1)
	s := handler(hello)
	s.HTTP2 = func(c net.Conn, _ socket.Sleeper) Session {
		got <- c
		return session(func() bool { return false })
	}
	addr, config := secure(t, s, "h2", "http/1.1")
	dialTLS(t, addr, config)
	if c, ok := receive(t, got).(*tls.Conn); !ok || c.ConnectionState().NegotiatedProtocol != "h2" {
		t.Error("not the connection that agreed")
	}
}

// TestTransaction_DepartedTLSClientEndsTheWait: its last record hides its end
// from a look at the bytes.
func TestTransaction_DepartedTLSClientEndsTheWait(t *testing.T) {
	t.Parallel()
	arrived, hold := make(chan bool, 1), make(chan bool)
	defer close(hold)
	p := newRelay(backend(t, func(_ int, c *client) { c.head(); arrived <- true; <-hold }))
	addr, config := secure(t, &Server{Handler: p})
	k := dialTLS(t, addr, config)
	k.send(get)
	receive(t, arrived)
	k.Close()
	if e := receive(t, p.errs); e.Client != wire.Gone {
		t.Errorf("%+v", e)
	}
}

func TestRelay_LargeAnswersUnderTLSAreCopied(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	p := newRelay(goBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1048576")
		w.Write(make([]byte, size))
	}))
	t.Cleanup(p.t.CloseIdle)
	addr, config := secure(t, &Server{Handler: p, StallTimeout: 5 * time.Second})

	k := dialTLS(t, addr, config)
	for range 2 {
		k.send(get)
		resp, err := http.ReadResponse(k.r, nil)
		if err != nil {
			t.Fatal(err)
		}

		if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
			t.Fatal(n, err)
		}
	}
}
