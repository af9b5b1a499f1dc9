package h2

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
)

// Server serves HTTP/2 on connections that its caller has accepted. A handler
// must not keep the request, its fields or the response's header map after it
// has returned. Set the fields before the first Serve, and don't change them
// later.
type Server struct {
	Handler        http.Handler
	HeaderTimeout  time.Duration // of the first SETTINGS, and of each field block; 0 is none
	StallTimeout   time.Duration // without progress of an answer or a body; 0 is none
	IdleTimeout    time.Duration // of a connection without streams; 0 is none
	MaxHeaderBytes int           // of a field section (RFC 9113 section 6.5.2); 0 is 64 KiB
	Logger         *slog.Logger  // of requests that are refused; nil for none
	Budget         *socket.Budget
	Idle           *socket.IdleSet // for connections without streams; nil: each waits in its goroutine

	transactions sync.Pool
	dates        atomic.Pointer[stamp]

	mu    sync.Mutex
	conns map[*conn]struct{}
	ended bool
	empty chan struct{} // closed when the last connection has ended; nil if nothing waits for that
}

// maxStreams is the number of requests that a client may have on one
// connection. A request counts until its handler returns, even if the client
// has reset its stream.
const maxStreams = 100

// Serve serves one connection and returns when it is closed.
func (s *Server) Serve(nc net.Conn) { s.Session(nc, nil).Serve() }

// Session is the connection of one client.
type Session struct{ c *conn }

// Session takes over a connection. owner is awakened when a sleeping connection
// has to be served again. With nil, it does not sleep.
func (s *Server) Session(nc net.Conn, owner socket.Sleeper) Session {
	var read []byte
	if t, ok := nc.(interface{ Taken() ([]byte, net.Conn) }); ok {
		read, nc = t.Taken()
	}
	c := newConn(nc, s.headLimit(), serverWindow)
	c.server, c.idle.Sleeper = s, owner
	c.account = socket.NewAccount(s.Budget)
	if len(read) > 0 {
		c.borrow()
		c.w = copy(c.buf, read)
	}

	return Session{c}
}

// Serve serves the connection until it is closed, and then returns false. It
// returns true when the connection sleeps (sleep.go). Its owner calls Serve
// again when it is awakened.
func (s Session) Serve() (asleep bool) {
	c := s.c
	if !c.greeted && !c.start() {
		return false
	}

	err := c.read()
	if err == errAsleep {
		return true // another goroutine may have the connection already
	}
	c.shut(err)
	c.dropBlock()
	c.server.leave(c)

	return false
}

// start greets the client, unless the connection has to end at once.
func (c *conn) start() bool {
	c.greeted = true
	if !c.server.enter(c) {
		c.nc.Close()
		return false
	}
	if why := c.insecure(); why != "" {
		c.shut(connError{inadequateSecurity, why})
		c.server.leave(c)
		return false
	}
	c.greet()

	return true
}

func (s *Server) headLimit() int {
	if s.MaxHeaderBytes > 0 {
		return s.MaxHeaderBytes
	}
	return 64 << 10
}

// greet sends the server's preface (RFC 9113 section 3.4).
func (c *conn) greet() {
	s := c.server
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = appendSettings(c.out,
		setting{settingMaxConcurrentStreams, maxStreams},
		setting{settingInitialWindowSize, clientStream},
		setting{settingMaxHeaderListSize, uint32(s.headLimit())},
		setting{settingEnableConnectProtocol, 1},
	)
	c.out = appendWindowUpdate(c.out, 0, serverWindow-firstWindow)
	c.kick()

	now := time.Now()
	c.idleSince = now
	if c.settleBy = after(now, s.HeaderTimeout); !c.settleBy.IsZero() {
		c.arm(c.settleBy)
	}
	c.arm(c.pingAt())
	if at := after(now, s.IdleTimeout); !at.IsZero() {
		c.arm(at)
	}
}

// insecure returns how TLS breaks the rules of RFC 9113 section 9.2, or "" if
// it does not or there is none.
func (c *conn) insecure() string {
	t, ok := c.nc.(*tls.Conn)
	if !ok {
		return ""
	}
	state := t.ConnectionState()
	c.tls, c.address = &state, c.nc.RemoteAddr().String()
	switch {
	case state.Version < tls.VersionTLS12:
		return "TLS before 1.2"
	case state.Version > tls.VersionTLS12:
		return ""
	}
	switch state.CipherSuite {
	case tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256:
		return ""
	}
	return "cipher suite " + tls.CipherSuiteName(state.CipherSuite)
}

func (s *Server) enter(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	if s.conns == nil {
		s.conns = make(map[*conn]struct{})
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if len(s.conns) == 0 && s.empty != nil {
		close(s.empty)
		s.empty = nil
	}
}

// Shutdown sends GOAWAY to every client, and waits for the requests in
// progress, or for ctx.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.ended = true
	for c := range s.conns {
		c.retire()
	}
	if len(s.conns) == 0 {
		s.mu.Unlock()
		return nil
	}
	if s.empty == nil {
		s.empty = make(chan struct{})
	}
	empty := s.empty
	s.mu.Unlock()

	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close closes everything at once. It does not wait for handlers.
func (s *Server) Close() error {
	s.mu.Lock()
	s.ended = true
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()

	for _, c := range conns {
		c.shut(net.ErrClosed)
	}
	return nil
}

// awayTime is how long a client may take to answer the PING after the first
// GOAWAY.
const awayTime = time.Second

// retire ends a connection after its last stream. A GOAWAY with the number of
// the last stream would refuse streams that are on their way. So the first
// GOAWAY has the largest number, and the second follows when the client has
// answered a PING that was sent behind the first (RFC 9113 section 6.8).
func (c *conn) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.closing || !c.awayBy.IsZero() {
		return
	}
	if !c.settled {
		c.nameLast()
		return
	}
	now := time.Now()
	c.out = appendGoAway(c.out, largestValue, noError)
	if c.asked.IsZero() {
		c.askPing(now)
	}
	c.awayBy = now.Add(awayTime)
	c.arm(c.awayBy)
	c.kick()
}

// nameLast sends the second GOAWAY. The caller holds the mutex.
func (c *conn) nameLast() {
	c.sentAway, c.closing = true, true
	c.out = appendGoAway(c.out, c.lastID, noError)
	c.kick()
	c.rest()
}

// stamp is a second and its text in a Date field.
type stamp struct {
	second int64
	text   string
}

// date returns the current time for a Date field.
func (s *Server) date() string {
	now := time.Now()
	if d := s.dates.Load(); d != nil && d.second == now.Unix() {
		return d.text
	}
	d := &stamp{now.Unix(), now.UTC().Format(http.TimeFormat)}
	s.dates.Store(d)
	return d.text
}
