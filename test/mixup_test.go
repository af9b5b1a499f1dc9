package test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// speaking starts a backend that answers the first bytes of each connection
// with a text, and then waits until the client closes. With text "" it closes
// the connection itself.
func speaking(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = c.Read(make([]byte, 4096))
				if text != "" {
					_, _ = io.WriteString(c, text)
					_, _ = io.Copy(io.Discard, c)
				}
			}()
		}
	}()

	return l.Addr().String()
}

// If only one side uses TLS, the log says so.
func TestMixup_OfTLSAndClearTextIsNamed(t *testing.T) {
	t.Parallel()
	alert := "\x15\x03\x01\x00\x02\x02\x16"
	for name, test := range map[string]struct{ target, want string }{
		"http to a backend with TLS": {"http://" + speaking(t, alert), "the backend answers in TLS: write https://"},
		"http to a backend that closes": {"http://" + speaking(t, ""),
			"closed the connection without an answer (does it want https://?)"},
		"https to a backend without TLS": {"https://" + speaking(t, "HTTP/1.1 400 Bad Request\r\n\r\n"),
			"the backend does not speak TLS: write http://"},
		"h2c to a backend of HTTP/1.1": {"h2c://" + speaking(t, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
			"the backend answers in HTTP/1.1: write http://"},
		"h2 to a backend without TLS": {"h2://" + speaking(t, "HTTP/1.1 400 Bad Request\r\n\r\n"),
			"the backend does not speak TLS: write http://"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := pillion.Start(t, "LB_ACCESS_LOG=on", "LB_RETRIES=0", "LB_BACKENDS="+test.target)
			if a := get(t, newClient(t), p.URL("/")); a.StatusCode < 500 {
				t.Errorf("got %d", a.StatusCode)
			}
			line := p.Line("the request", func(l binary.Line) bool { return l.String("ended") != "" })
			if !strings.Contains(line.String("error"), test.want) {
				t.Errorf("got %q", line.String("error"))
			}
		})
	}
}

func TestMixup_OfAClientWithTLSIsNamed(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, backend.Backends(backend.Start(t, "one", nil)))
	if c, err := tls.Dial("tcp", p.Address, &tls.Config{InsecureSkipVerify: true}); err == nil {
		c.Close()
		t.Error("a port without TLS agreed on TLS")
	}
	line := p.Line("the refusal", func(l binary.Line) bool { return l.String("message") == "request refused" })
	if !strings.Contains(line.String("reason"), "the client speaks TLS, this port does not") {
		t.Errorf("got %v", line.Fields)
	}
}

func TestMixup_OfAClientInClearIsNamedAndAnswered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	backend.NewAuthority(t).Write(t, certificate, key)
	p := pillion.Start(t, "LB_TLS_CERT_FILE="+certificate, "LB_TLS_KEY_FILE="+key,
		backend.Backends(backend.Start(t, "one", nil)))
	a := get(t, newClient(t), "http://"+p.Address+"/")
	if a.StatusCode != http.StatusBadRequest || !strings.Contains(a.Text, "use https://") {
		t.Errorf("got %d %q", a.StatusCode, a.Text)
	}
	line := p.Line("the refusal", func(l binary.Line) bool { return l.String("message") == "request refused" })
	if !strings.Contains(line.String("reason"), "this port speaks TLS") {
		t.Errorf("got %v", line.Fields)
	}
}

// A backend with TLS and without HTTP/2 chooses no protocol, or ends the
// handshake. Nothing was sent to it.
func TestMixup_OfHTTP2AndABackendWithoutItIsNamed(t *testing.T) {
	t.Parallel()
	authority := backend.NewAuthority(t)
	for name, protocols := range map[string][]string{"no protocols": nil, "others": {"http/1.1"}} {
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
			Certificates: []tls.Certificate{authority.Certificate(t)}, NextProtos: protocols,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(io.Discard, c); c.Close() }()
			}
		}()

		p := pillion.Start(t, "LB_ACCESS_LOG=on", "LB_RETRIES=0", "LB_START_HOLD=0s", "LB_CA_FILE="+authority.File,
			"LB_BACKENDS=h2://"+l.Addr().String())
		if a := get(t, newClient(t), p.URL("/")); a.StatusCode < 500 {
			t.Errorf("%s: got %d", name, a.StatusCode)
		}
		line := p.Line("the request", func(l binary.Line) bool { return l.String("ended") != "" })
		if !strings.Contains(line.String("error"), "does not choose HTTP/2 by ALPN: write https:// in its target") {
			t.Errorf("%s: got %q", name, line.String("error"))
		}
	}
}
