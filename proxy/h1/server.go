package h1

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

// Server serves HTTP/1.1 with one goroutine per connection. A handler must not keep the request, its fields or the
// response's header map after it returned. Fields are set before Serve and not changed after.
type Server struct {
	Handler        http.Handler
	HeaderTimeout  time.Duration // from the first byte of a head to its end
	StallTimeout   time.Duration // no progress while we wait for body bytes or while a write blocks
	IdleTimeout    time.Duration // between requests
	MaxHeaderBytes int
	MaxConnections int // 0 is none; more are closed at once
	// HTTP2 takes a connection whose first bytes are the HTTP/2 preface; reading it yields the preface again. It
	// returns when the connection is closed. nil refuses HTTP/2.
	HTTP2 func(net.Conn)
	// Rejected is told of each message that we refused without calling Handler: the peer, the status that we
	// answered, the id in that answer, and why. It may be nil.
	Rejected func(remote net.Addr, status int, id, reason string)
}

// Serve accepts connections until Shutdown or Close, then returns http.ErrServerClosed.
func (s *Server) Serve(l net.Listener) error { return errors.New("not built") }

// Drain makes every further answer carry "Connection: close" and goes on accepting.
func (s *Server) Drain() {}

// Shutdown closes the listeners and idle connections, then waits for exchanges in progress, tunnels included, or for ctx.
func (s *Server) Shutdown(ctx context.Context) error { return nil }

// Close closes everything at once.
func (s *Server) Close() error { return nil }

// Connections is the number of open client connections, and how many of them are tunnels.
func (s *Server) Connections() (open, tunnels int) { return 0, 0 }
