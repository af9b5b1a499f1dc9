// Package backend is what stands behind the proxy in tests: servers of net/http for what an app does, raw sockets for
// what only a broken one does, and a child process for one that is killed.
package backend

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// NameField is the response field in which every backend of this package says its name.
const NameField = "Backend"

// Server is an app on net/http, speaking HTTP/1.1 and HTTP/2 by prior knowledge, and over TLS both by ALPN.
type Server struct {
	Name    string
	Address string // host:port
	Scheme  string // "http" or "https"

	tb     testing.TB
	hits   atomic.Int64
	server *http.Server
}

// Start serves handler until the test ends; a nil handler answers 200 with the server's name as the body.
func Start(tb testing.TB, name string, handler http.HandlerFunc) *Server {
	tb.Helper()
	return serve(tb, name, Listen(tb), nil, handler)
}

// StartTLS is Start with a certificate for 127.0.0.1 and localhost from authority.
func StartTLS(tb testing.TB, name string, authority *Authority, handler http.HandlerFunc) *Server {
	tb.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{authority.Certificate(tb)}}
	return serve(tb, name, Listen(tb), config, handler)
}

// StartAt is Start on a listener of the test's own.
func StartAt(tb testing.TB, name string, l net.Listener, handler http.HandlerFunc) *Server {
	tb.Helper()
	return serve(tb, name, l, nil, handler)
}

// StartMany starts n servers of the default handler, named one, two, three and so on.
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

// Close closes the listener and every connection, as a backend that dies. The port stays bound until the test ends, so
// that no other test's backend comes to life there.
func (s *Server) Close() {
	s.tb.Helper()
	_ = s.server.Close()
	_, port, _ := net.SplitHostPort(s.Address)
	n, _ := strconv.Atoi(port)
	if _, err := bind(s.tb, n); err != nil {
		s.tb.Fatal(err)
	}
}

// Hits is the number of requests that reached the handler.
func (s *Server) Hits() int { return int(s.hits.Load()) }

// Target is the server as an item of LB_BACKENDS under its name, with further options ("weight=3").
func (s *Server) Target(options ...string) string {
	return Target(s.Scheme+"://"+s.Address, s.Name, options...)
}

// Target is an item of LB_BACKENDS for an address with a scheme.
func Target(address, name string, options ...string) string {
	return address + "?" + strings.Join(append([]string{"name=" + name}, options...), "&")
}

// Backends is the environment's line for the servers, each with its own name.
func Backends(servers ...*Server) string {
	targets := make([]string, len(servers))
	for i, s := range servers {
		targets[i] = s.Target()
	}
	return "LB_BACKENDS=" + strings.Join(targets, ";")
}

// Listen is a TCP listener on a port of the kernel's choice.
func Listen(tb testing.TB) net.Listener {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// Closed is an address that refuses connections and that no other test can be given meanwhile: the port is bound, and
// nobody listens.
func Closed(tb testing.TB) string {
	tb.Helper()
	port, err := bind(tb, 0)
	if err != nil {
		tb.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}
