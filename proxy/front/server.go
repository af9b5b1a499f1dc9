package front

import (
	"context"
	"log/slog"
	"net"
	"net/http"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/h1"
	"github.com/pillion-lb/pillion/proxy/h2"
	"github.com/pillion-lb/pillion/proxy/socket"
)

// Options are what a Server needs beside its settings.
type Options struct {
	Handler http.Handler // of all requests, of any HTTP version
	Logger  *slog.Logger
	Version string         // of the program, for the log
	Budget  *socket.Budget // for the memory of connections and requests; nil is no bound

	// Started is told where the server listens and where the status page is, in
	// place of the log. nil: the log says so.
	Started func(address, page string)
	// Draining is called once, when the server begins to end.
	Draining func()
	// EndTunnels ends the tunnels, which the servers don't count as requests.
	// It is called while the servers wait for their last requests, and may wait
	// for those too, until ctx ends.
	EndTunnels func(ctx context.Context)
	// Active returns the number of requests in progress and of open tunnels.
	Active func() (requests, tunnels int)
}

// Server serves HTTP/1.1 and HTTP/2 on one port. Its methods may be called from
// any goroutine.
type Server struct {
	process  config.Process
	limits   config.Platform
	options  Options
	listener net.Listener // nil before Listen
	http1    *h1.Server
	http2    *h2.Server
}

// New makes a server. Listen and Run make it serve.
//
// Every connection begins at the HTTP/1.1 server. If it begins with the HTTP/2
// preface, or TLS agreed on h2, it is handed to the HTTP/2 server.
func New(cfg *config.Config, o Options) *Server {
	p := cfg.Process
	s := &Server{process: p, limits: cfg.Platform, options: o}

	idle := new(socket.IdleSet)
	s.http2 = &h2.Server{
		Handler:        o.Handler,
		HeaderTimeout:  p.HeaderTimeout,
		StallTimeout:   p.StallTimeout,
		IdleTimeout:    p.IdleTimeout,
		MaxHeaderBytes: int(p.MaxHeaderBytes),
		Logger:         o.Logger,
		Budget:         o.Budget,
		Idle:           idle,
	}

	s.http1 = &h1.Server{
		Handler:        o.Handler,
		HeaderTimeout:  p.HeaderTimeout,
		StallTimeout:   p.StallTimeout,
		IdleTimeout:    p.IdleTimeout,
		MaxHeaderBytes: int(p.MaxHeaderBytes),
		MaxConnections: p.MaxConnections,
		MaxPipes:       pipes(cfg.Platform.Descriptors),
		Budget:         o.Budget,
		Idle:           idle,
		HTTP2: func(c net.Conn, owner socket.Sleeper) h1.Session {
			return s.http2.Session(c, owner)
		},
		Rejected: s.logRejected,
	}

	if o.Budget != nil {
		o.Budget.OnTight(s.http1.Trim)
		o.Budget.OnShort(s.http1.Shed)
		o.Budget.OnShort(s.http2.Shed)
	}

	return s
}

// logRejected logs a request that was refused before it reached the handler.
func (s *Server) logRejected(remote net.Addr, code int, id, reason string) {
	s.options.Logger.Info("request refused",
		"peer", remote.String(), "status", code, "request_id", id, "reason", reason)
}

// pipes returns how many pipes may be in use for splicing bodies. A pipe is two
// descriptors, and all pipes together get a tenth of the descriptors.
func pipes(descriptors int) int { return descriptors / 20 }

// statusPage returns the URL of the status page for this machine, or why it is
// off.
func (s *Server) statusPage() string {
	switch {
	case s.process.StatusPath == "":
		return "off: LB_STATUS_PATH is none"
	case s.process.StatusToken == nil:
		return "off: LB_STATUS_TOKEN is not set"
	}

	return s.url() + s.process.StatusPath
}

// url returns the URL at which the server is reached from this machine.
func (s *Server) url() string {
	scheme := "http"
	if s.process.Certificate != nil {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(s.listener.Addr().String())
	if ip := net.ParseIP(host); err == nil && (ip == nil || ip.IsUnspecified()) {
		host = "localhost"
	}

	return scheme + "://" + net.JoinHostPort(host, port)
}

// logStart logs where the server listens, and its limits.
func (s *Server) logStart() {
	if s.options.Started != nil {
		s.options.Started(s.url(), s.statusPage())
		return
	}

	s.options.Logger.Info("listening",
		"address", s.listener.Addr().String(),
		"role", string(s.process.Role),
		"version", s.options.Version,
		"status_page", s.statusPage())
	s.options.Logger.Info("limits",
		"connections", s.process.MaxConnections,
		"descriptors", s.limits.Descriptors,
		"memory_budget", s.limits.MemoryBudget)
}

// Close ends every connection at once.
func (s *Server) Close() {
	s.http1.Close()
	s.http2.Close()
}
