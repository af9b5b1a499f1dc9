package test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// servingTLS returns an environment with a certificate.
func servingTLS(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	backend.NewAuthority(t).Write(t, certificate, key)

	return []string{"LB_TLS_CERT_FILE=" + certificate, "LB_TLS_KEY_FILE=" + key}
}

// handshaken returns a TLS connection whose client accepts any certificate.
func handshaken(t *testing.T, address, protocol string) *tls.Conn {
	t.Helper()
	conn := wire.Dial(t, address)
	secure := tls.Client(conn.Conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}})
	if err := secure.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}

	return secure
}

// A connection has to come to its first request within LB_HEADER_TIMEOUT,
// wherever it stops before: in the handshake of TLS, behind it, in the preface
// of HTTP/2, or behind that.
func TestSecure_AConnectionHasToComeToItsRequest(t *testing.T) {
	t.Parallel()
	one := backend.Backends(backend.Start(t, "one", nil))
	secure := pillion.Start(t, append(servingTLS(t), one, "LB_HEADER_TIMEOUT=500ms")...)
	clear := pillion.Start(t, one, "LB_HEADER_TIMEOUT=500ms")

	in := func(text string) func(t *testing.T) net.Conn {
		return func(t *testing.T) net.Conn {
			c := wire.Dial(t, clear.Address)
			c.Send(text)
			return c
		}
	}
	below := func(text string) func(t *testing.T) net.Conn {
		return func(t *testing.T) net.Conn {
			c := wire.Dial(t, secure.Address)
			c.Send(text)
			return c
		}
	}
	behind := func(protocol, text string) func(t *testing.T) net.Conn {
		return func(t *testing.T) net.Conn {
			c := handshaken(t, secure.Address, protocol)
			_, _ = io.WriteString(c, text)
			return c
		}
	}

	for name, stop := range map[string]func(t *testing.T) net.Conn{
		"before a handshake":             below(""),
		"in a handshake":                 below("\x16\x03\x01\x02\x00\x01"),
		"behind a handshake":             behind("http/1.1", ""),
		"in a head under TLS":            behind("http/1.1", "GET / HTTP/1.1\r\nHost: a\r\n"),
		"before the preface, under TLS":  behind("h2", ""),
		"in the preface, under TLS":      behind("h2", http2.ClientPreface[:10]),
		"before SETTINGS, under TLS":     behind("h2", http2.ClientPreface),
		"in the preface, in clear text":  in(http2.ClientPreface[:10]),
		"before SETTINGS, in clear text": in(http2.ClientPreface),
		"in SETTINGS, in clear text":     in(http2.ClientPreface + "\x00\x00\x06\x04\x00"),
		"in a head of HTTP/2": in(http2.ClientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" +
			"\x00\x00\x10\x01\x00\x00\x00\x00\x01\x82"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := stop(t)
			if _, err := io.Copy(io.Discard, c); err != nil {
				if e, ok := err.(net.Error); ok && e.Timeout() {
					t.Errorf("the connection is open after %v", await.Limit)
				}
			}
		})
	}
}

// A client on TLS that has announced its last request, and then ends its
// direction, is there until the answer has come: by the alert of TLS, and by
// the end of the connection below it.
func TestSecure_AClientThatSaidItsLastIsStillThere(t *testing.T) {
	t.Parallel()
	asked, release := make(chan string, 10), make(chan struct{})
	b := backend.Start(t, "slow", func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		if r.URL.Path == "/slow" {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
		_, _ = io.WriteString(w, "late")
	})
	p := pillion.Start(t, append(append(calm, servingTLS(t)...), backend.Backends(b))...)

	var waiting []*tls.Conn
	for _, ends := range []bool{false, true} {
		for _, head := range []string{
			wire.Request("GET", "/slow", "", "Connection: close"),
			wire.Request("POST", "/slow", "hi", "Connection: close", "Content-Length: 2"),
		} {
			c := handshaken(t, p.Address, "http/1.1")
			_, _ = io.WriteString(c, head)
			_ = c.CloseWrite()
			if ends {
				_ = c.NetConn().(*net.TCPConn).CloseWrite()
			}
			waiting = append(waiting, c)
			soon(t, "the request", asked)
		}
	}

	for range 20 { // long enough for a check of the waiting clients
		c := handshaken(t, p.Address, "http/1.1")
		_, _ = io.WriteString(c, wire.Request("GET", "/quick", "", "Connection: close"))
		text, _ := io.ReadAll(c)
		if !strings.HasSuffix(string(text), "late") {
			t.Errorf("somebody else got %q", text)
		}
		soon(t, "the request", asked)
		_ = passes(t, 50*time.Millisecond) // the time between two checks
	}

	close(release)
	for i, c := range waiting {
		text, err := io.ReadAll(c)
		if !strings.HasPrefix(string(text), "HTTP/1.1 200 ") || !strings.HasSuffix(string(text), "late") {
			t.Errorf("client %d got %q, %v", i, text, err)
		}
	}
}
