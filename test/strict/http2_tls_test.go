package strict

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// written returns variables for TLS with a certificate of authority.
func written(t *testing.T, authority *backend.Authority) []string {
	t.Helper()
	pair := authority.Certificate(t)
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}

	dir := t.TempDir()
	var env []string
	for name, block := range map[string]*pem.Block{
		"LB_TLS_CERT_FILE": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]},
		"LB_TLS_KEY_FILE":  {Type: "PRIVATE KEY", Bytes: key},
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		env = append(env, name+"="+file)
	}

	return env
}

// Over TLS, as browsers use HTTP/2, requests, limits and WebSockets work as in
// clear text.
func TestHTTP2_OverTLSEverythingIsTheSame(t *testing.T) {
	t.Parallel()
	authority := backend.NewAuthority(t)
	env := written(t, authority)
	roots := x509.NewCertPool()
	if trusted, err := os.ReadFile(authority.File); err != nil || !roots.AppendCertsFromPEM(trusted) {
		t.Fatal(err)
	}

	dial := func(t *testing.T, address string) *framed {
		t.Helper()
		conn, err := tls.DialWithDialer(&net.Dialer{Timeout: await.Limit}, "tcp", address,
			&tls.Config{RootCAs: roots, NextProtos: []string{"h2"}})
		if err != nil {
			t.Fatal(err)
		}

		return speakFramed(t, conn)
	}
	secure := func(head []pair) []pair {
		for i := range head {
			if head[i].name == ":scheme" {
				head[i].value = "https"
			}
		}
		return head
	}

	t.Run("a stalled body", func(t *testing.T) {
		c := dial(t, startWith(t, bothWays(t, sized)["http"], env...).Address)
		if got := c.wait(c.open(secure(pseudo("POST", "/1", pair{"content-length", "5"}))...)); got.status != "408" {
			t.Errorf("%v", got)
		}
		if got := c.fetch("/3"); got.status != "200" || got.body != "aaa" {
			t.Errorf("the connection's next request: %v", got)
		}
	})
	t.Run("a WebSocket", func(t *testing.T) {
		raw := sockets(t, "", echo)
		c := dial(t, startWith(t, raw.Target(), env...).Address)
		stream := c.open(secure(connecting("/"))...)
		if got := c.head(t, stream); got.status != "200" {
			t.Fatalf("%v", got)
		}

		_ = c.WriteData(stream, true, []byte(text("hello", true)))
		if got := c.wait(stream); got.body != text("hello", true) || !got.ended {
			t.Errorf("%v", got)
		}
		if r := raw.Requests.All()[0]; strings.Join(r.Fields("X-Forwarded-Proto"), "|") != "https" {
			t.Errorf("the backend got %q", r.Head)
		}
	})
}
