package test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// report answers with the protocol, method, host and body length of the
// request.
func report(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Trailer", "X-End")
	body, _ := io.ReadAll(r.Body)

	// Without a flush, net/http would send Content-Length, and HTTP/1.1 has no
	// trailers after that.
	_ = http.NewResponseController(w).Flush()
	_, _ = fmt.Fprintf(w, "%s %s tls=%v host=%s body=%d", r.Proto, r.Method, r.TLS != nil, r.Host, len(body))
	w.Header().Set("X-End", "1")
}

func TestProtocol_EachToItsBackend(t *testing.T) {
	t.Parallel()
	authority := backend.NewAuthority(t)

	plain, secure := backend.Start(t, "one", report), backend.StartTLS(t, "one", authority, report)
	for name, c := range map[string]struct{ env, target, want string }{
		"http":  {"", "http://" + plain.Address, "HTTP/1.1 POST tls=false host=app.example body=5"},
		"h2c":   {"", "h2c://" + plain.Address, "HTTP/2.0 POST tls=false host=app.example body=5"},
		"https": {"", "https://" + secure.Address, "HTTP/1.1 POST tls=true host=" + secure.Address + " body=5"},
		"h2":    {"", "h2://" + secure.Address, "HTTP/2.0 POST tls=true host=" + secure.Address + " body=5"},
		"https, client": {"LB_HOST_HEADER=client", "https://" + secure.Address,
			"HTTP/1.1 POST tls=true host=app.example body=5"},
		"LB_PROTOCOL=h2c":  {"LB_PROTOCOL=h2c", plain.Address, "HTTP/2.0 POST tls=false host=app.example body=5"},
		"LB_PROTOCOL=http": {"LB_PROTOCOL=http1", plain.Address, "HTTP/1.1 POST tls=false host=app.example body=5"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := []string{"LB_CA_FILE=" + authority.File, "LB_BACKENDS=" + c.target}
			if c.env != "" {
				env = append(env, c.env)
			}

			p := pillion.Start(t, env...)
			for protocol, client := range map[string]*http.Client{"http/1.1": newClient(t), "h2c": newH2CClient(t)} {
				for range 3 {
					a := send(t, client, newRequest(t, "POST", p.URL("/"), strings.NewReader("hello"), "Host", "app.example", "TE",
						"trailers"))
					if a.Text != c.want || a.Trailer.Get("X-End") != "1" {
						t.Errorf("%s client: %d %q with the trailers %v, want %q", protocol, a.StatusCode, a.Text, a.Trailer, c.want)
					}
				}
			}
		})
	}
}

func TestProtocol_AutoSpeaksHTTP2ForGRPC(t *testing.T) {
	t.Parallel()
	b := backend.Start(t, "one", report)
	p := pillion.Start(t, "LB_BACKENDS="+b.Address)
	a := send(t, newH2CClient(t), newRequest(t, "POST", p.URL("/pkg.Service/Call"), strings.NewReader("hello"),
		"Content-Type", "application/grpc", "TE", "trailers"))
	if !strings.HasPrefix(a.Text, "HTTP/2.0 ") || a.Trailer.Get("X-End") != "1" {
		t.Errorf("a gRPC call arrived as %q with the trailers %v", a.Text, a.Trailer)
	}

	if a := get(t, newH2CClient(t), p.URL("/")); !strings.HasPrefix(a.Text, "HTTP/1.1 ") {
		t.Errorf("another request arrived as %q", a.Text)
	}
}

func TestProtocol_AnUnknownAuthorityIsABadGateway(t *testing.T) {
	t.Parallel()
	secure := backend.StartTLS(t, "one", backend.NewAuthority(t), report)
	for _, env := range [][]string{nil, {"LB_CA_FILE=" + backend.NewAuthority(t).File}} {
		for _, scheme := range []string{"https", "h2"} {
			p := pillion.Start(t, append(env, "LB_START_HOLD=0s", "LB_BACKENDS="+scheme+"://"+secure.Address)...)
			a := get(t, newClient(t), p.URL("/"))
			if a.StatusCode != http.StatusBadGateway && a.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("%s: status %d", scheme, a.StatusCode)
			}
			wantNothingInside(t, a, secure.Address, "x509", "certificate", "tls")
		}
	}

	if secure.Hits() != 0 {
		t.Error("a request reached a backend that nobody vouches for")
	}
}

func TestProtocol_WebSocketGoesOverHTTP1ToAnH2CBackend(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, "LB_PROTOCOL=h2c", "LB_BACKENDS="+echo(t, text("hi", false)).Address)
	c := wire.Dial(t, p.Address)
	c.Send(wire.Request("GET", "/", "", handshake...))
	if head := c.Head(); !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		t.Fatalf("the handshake's answer is %q", head)
	}

	c.Expect(text("hi", false))
}

func TestProtocol_ManyStreamsOfOneH2CClient(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, affine, backend.Backends(backend.StartMany(t, 3)...))
	load{client: newH2CClient(t), workers: 32, requests: 2000, make: gets(p.URL("/"))}.run(t)
}
