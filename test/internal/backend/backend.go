// Package backend has the backends of tests: servers of net/http for ordinary
// apps, raw sockets for broken ones, and child processes for those that are
// killed.
package backend

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

// NameField is the response field with the name of the backend. Every backend
// of this package sets it.
const NameField = "Backend"

// Server is a net/http server. It speaks HTTP/1.1 and HTTP/2, in clear text by
// prior knowledge and over TLS by ALPN.
type Server struct {
	Name    string
	Address string // host:port
	Scheme  string // "http" or "https"

	tb     testing.TB
	hits   atomic.Int64
	server *http.Server
}

// Start serves handler until the test ends. A nil handler answers 200 with the
// server's name as the body.
func Start(tb testing.TB, name string, handler http.HandlerFunc) *Server {
	tb.Helper()
	return serve(tb, name, Listen(tb), nil, handler)
}

// StartTLS is Start with a certificate of authority for 127.0.0.1 and
// localhost.
func StartTLS(tb testing.TB, name string, authority *Authority, handler http.HandlerFunc) *Server {
	tb.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{authority.Certificate(tb)}}
	return serve(tb, name, Listen(tb), config, handler)
}

// StartTLSWith is Start with a TLS configuration.
func StartTLSWith(tb testing.TB, name string, config *tls.Config, handler http.HandlerFunc) *Server {
	tb.Helper()
	return serve(tb, name, Listen(tb), config, handler)
}

// StartAt is Start with a listener that the test has opened.
func StartAt(tb testing.TB, name string, l net.Listener, handler http.HandlerFunc) *Server {
	tb.Helper()
	return serve(tb, name, l, nil, handler)
}

// StartMany starts n servers with the default handler, named one, two, three
// and so on.
func StartMany(tb testing.TB, n int) []*Server {
	tb.Helper()
	names := []string{"one", "two", "three", "four", "five", "six", "seven"}
	servers := make([]*Server, n)
	for i := range servers {
		servers[i] = Start(tb, names[i], nil)
	}

	return servers
}

func serve(tb testing.TB, name string, l net.Listener, config *tls.Config, handler http.HandlerFunc) *Server {
	s := &Server{Name: name, Address: l.Addr().String(), Scheme: "http", tb: tb}
	if config != nil {
		s.Scheme = "https"
	}

	if handler == nil {
		handler = func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, name)
		}
	}

	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)

	s.server = &http.Server{Protocols: &protocols, TLSConfig: config, ErrorLog: quiet, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			s.hits.Add(1)
			w.Header().Set(NameField, name)
			handler(w, r)
		})}
	done := make(chan struct{})

	go func() {
		defer close(done)
		if config == nil {
			_ = s.server.Serve(l)
			return
		}
		_ = s.server.ServeTLS(l, "", "")
	}()
	tb.Cleanup(func() {
		_ = s.server.Close()
		<-done
	})

	return s
}

// Close closes the listener and every connection, as if the backend had died.
// The port stays bound until the test ends, so that no backend of another test
// can listen on it.
func (s *Server) Close() {
	s.tb.Helper()
	_ = s.server.Close()
	place, err := netip.ParseAddrPort(s.Address)
	if err != nil {
		s.tb.Fatal(err)
	}
	if _, err := bind(s.tb, place.Addr().As4(), int(place.Port())); err != nil {
		s.tb.Fatal(err)
	}
}

// Hits is the number of requests that reached the handler.
func (s *Server) Hits() int { return int(s.hits.Load()) }

// Target returns the server as an item of LB_BACKENDS with its name and further
// options, such as "weight=3".
func (s *Server) Target(options ...string) string {
	return Target(s.Scheme+"://"+s.Address, s.Name, options...)
}

// Target returns an item of LB_BACKENDS for an address with a scheme.
func Target(address, name string, options ...string) string {
	return address + "?" + strings.Join(append([]string{"name=" + name}, options...), "&")
}

// Backends returns the LB_BACKENDS variable for servers, with their names.
func Backends(servers ...*Server) string {
	targets := make([]string, len(servers))
	for i, s := range servers {
		targets[i] = s.Target()
	}
	return "LB_BACKENDS=" + strings.Join(targets, ";")
}

// Listen opens a TCP listener on a free port.
func Listen(tb testing.TB) net.Listener {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}

	return l
}

// Closed returns an address that refuses connections. The port stays bound
// without a listener until the test ends, so that no other test gets it.
func Closed(tb testing.TB) string {
	tb.Helper()
	port, err := bind(tb, [4]byte{127, 0, 0, 1}, 0)
	if err != nil {
		tb.Fatal(err)
	}

	return fmt.Sprintf("127.0.0.1:%d", port)
}
