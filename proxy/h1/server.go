package h1

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Server serves HTTP/1.1 with one goroutine per connection. A handler must not keep the request, its fields or the
// response's header map after it returned. Fields are set before Serve and not changed after.
type Server struct {
	Handler        http.Handler
	HeaderTimeout  time.Duration // from the first byte of a head to its end
	StallTimeout   time.Duration // no progress while we wait for body bytes or while a write blocks
	IdleTimeout    time.Duration // between requests
	MaxHeaderBytes int           // of a request head; 0 is 64 KiB
	MaxConnections int           // 0 is none; more are closed at once
	// HTTP2 takes a connection whose first bytes are the HTTP/2 preface; reading it yields the preface again. It
	// returns when the connection is closed. nil refuses HTTP/2.
	HTTP2 func(net.Conn)
	// Rejected is told of each message that we refused without calling Handler: the peer, the status that we
	// answered, the id in that answer, and why. It may be nil.
	Rejected func(remote net.Addr, status int, id, reason string)

	draining  atomic.Bool
	stopping  atomic.Bool // idle connections are to end
	copies    atomic.Bool // the kernel cannot splice
	dates     atomic.Pointer[stamp]
	exchanges sync.Pool
	pipes     sync.Pool // for splicing; garbage collection closes them
	serving   sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	tunnels   int
	left      time.Time     // when the last connection went
	parked    []chan *conn  // goroutines between two connections
	empty     chan struct{} // closed when the last connection is gone, if somebody waits for that
}

// stamp is a second and how a Date field writes it.
type stamp struct {
	second int64
	text   string
}

// date is the present time as HTTP writes it. Two callers may make the same stamp; that is harmless.
func (s *Server) date() string {
	now := time.Now()
	if d := s.dates.Load(); d != nil && d.second == now.Unix() {
		return d.text
	}
	d := &stamp{now.Unix(), now.UTC().Format(http.TimeFormat)}
	s.dates.Store(d)
	return d.text
}

func (s *Server) headLimit() int {
	if s.MaxHeaderBytes > 0 {
		return s.MaxHeaderBytes
	}
	return 64 << 10
}

const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// Serve accepts connections until Shutdown or Close, then returns http.ErrServerClosed. Running out of descriptors only
// makes it pause.
func (s *Server) Serve(l net.Listener) error {
	if !s.listen(l) {
		l.Close()
		return http.ErrServerClosed
	}
	defer s.unlisten(l)
	pause := firstPause
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			pause = firstPause
			s.admit(c)
		case s.isClosed():
			return http.ErrServerClosed
		case exhausted(err):
			time.Sleep(pause)
			pause = min(2*pause, lastPause)
		default:
			return err
		}
	}
}

// exhausted is a failure of accept that passes.
func exhausted(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (s *Server) listen(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.listeners == nil {
		s.listeners = make(map[net.Listener]struct{})
		s.conns = make(map[*conn]struct{})
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) unlisten(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
	l.Close()
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// admit starts the goroutine of a connection, or closes it when there are too many.
func (s *Server) admit(c net.Conn) {
	k := newConn(s, c)
	s.mu.Lock()
	full := s.closed || s.MaxConnections > 0 && len(s.conns) >= s.MaxConnections
	if !full {
		s.conns[k] = struct{}{}
		s.start(k)
	}
	s.mu.Unlock()
	if full {
		c.Close()
	}
}

// forget is the end of what a connection's goroutine does for it. A tunnel is still counted.
func (s *Server) forget(c *conn) {
	if c.state.Load() != tunnel {
		s.leave(c)
	}
}

// leave takes a closed connection off the books.
func (s *Server) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if c.state.Load() == tunnel {
		s.tunnels--
	}
	if len(s.conns) > 0 {
		return
	}
	s.left = time.Now()
	if s.empty != nil {
		close(s.empty)
		s.empty = nil
	}
}

func (s *Server) enterTunnel(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tunnels++
	c.state.Store(tunnel)
}

// acquire gives a connection what it needs for requests.
func (s *Server) acquire(c *conn) {
	x, ok := s.exchanges.Get().(*exchange)
	if !ok {
		x = newExchange()
	}
	x.attach(c)
	c.x = x
}

// release takes it back.
func (s *Server) release(c *conn) {
	x := c.x
	c.x = nil
	x.detach()
	s.exchanges.Put(x)
}

// Drain makes every further answer carry "Connection: close" and goes on accepting: from now on also those at once who
// have said nothing yet, so that they hear of the end.
func (s *Server) Drain() {
	s.draining.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.listeners {
		if patient, ok := l.(interface{ hasten() }); ok {
			patient.hasten()
		}
	}
}

// Shutdown closes the listeners and idle connections, then waits for exchanges in progress, tunnels and HTTP/2
// connections included, or for ctx.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	s.stopping.Store(true)
	s.mu.Lock()
	s.closeListeners()
	for c := range s.conns {
		if c.state.CompareAndSwap(idle, ending) {
			c.interrupt()
		}
	}
	if len(s.conns) == 0 {
		s.mu.Unlock()
		s.serving.Wait()
		return nil
	}
	if s.empty == nil {
		s.empty = make(chan struct{})
	}
	empty := s.empty
	s.mu.Unlock()
	select {
	case <-empty:
		s.serving.Wait()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close closes everything at once. A handler that is running finds its client gone; Close does not wait for it.
func (s *Server) Close() error {
	s.Drain()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeListeners()
	for c := range s.conns {
		c.kill()
	}
	return nil
}

func (s *Server) closeListeners() {
	s.closed = true
	s.dismiss()
	for l := range s.listeners {
		l.Close()
	}
}

// kill ends a connection from outside. A close would wait for the goroutine that is in the poller's callback, so only
// the socket is shut down; its goroutine closes it.
func (c *conn) kill() {
	if tcp, ok := netConn(c.c).(halves); ok {
		tcp.CloseRead()
		tcp.CloseWrite()
	} else {
		c.c.Close()
		return
	}
	c.state.CompareAndSwap(idle, ending)
	c.c.SetDeadline(past)
}

// halves is a connection whose directions can be ended one by one.
type halves interface {
	CloseRead() error
	CloseWrite() error
}

// netConn is what is under TLS.
func netConn(c net.Conn) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c
}

// Connections is the number of open client connections, and how many of them are tunnels.
func (s *Server) Connections() (open, tunnels int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns), s.tunnels
}

// Unused is for how long there has been no client connection; 0 while there is one. One that came and went between two
// looks counts as well.
func (s *Server) Unused() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) > 0 {
		return 0
	}
	return time.Since(s.left)
}
