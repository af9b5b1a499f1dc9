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

	"github.com/pillion-lb/pillion/proxy/socket"
)

// Server serves HTTP/1.1 with one goroutine per connection. A handler must not
// keep the request, its fields or the response's header map after it has
// returned. Set the fields before Serve, and don't change them later.
type Server struct {
	Handler http.Handler
	// The longest time from the first byte of a head to its end; for the first
	// head, from accept on.
	HeaderTimeout  time.Duration
	StallTimeout   time.Duration // without progress, while body bytes are awaited or a write blocks
	IdleTimeout    time.Duration // between requests
	MaxHeaderBytes int           // of a request head; 0 is 64 KiB
	// 0 is no limit; one more is closed, unless an idle one can be closed for
	// it
	MaxConnections int
	MaxPipes       int // pipes for splicing in use at a time; 0 is no limit
	// Budget is the memory that connections and requests take; nil is no bound.
	// Trim must be registered with its OnTight, and Shed with its OnShort.
	Budget *socket.Budget
	// Idle holds connections that have been idle for a moment. nil: each waits
	// in its goroutine.
	Idle *socket.IdleSet
	// HTTP2 takes over a connection whose first bytes are the HTTP/2 preface.
	// Reading it returns the preface again. nil refuses HTTP/2.
	HTTP2 func(net.Conn, socket.Sleeper) Session
	// Rejected is called for each message that was refused without Handler,
	// with the client's address, the status, the id in the answer and the
	// reason. It may be nil.
	Rejected func(remote net.Addr, status int, id, reason string)

	draining     atomic.Bool
	stopping     atomic.Bool // idle connections have to end
	dates        atomic.Pointer[stamp]
	transactions sync.Pool
	unpaid       atomic.Int32 // connections whose request waits for memory
	pipes        socket.Pipes // for splicing
	files        socket.FileSender
	serving      sync.WaitGroup
	shortSince   time.Time // since when memory is short; of the accepting goroutine

	mu        sync.Mutex
	closed    bool
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	tunnels   int
	left      time.Time // when the last connection ended
	// Closed when a connection ends, if the accepting goroutine waits for that.
	room   chan struct{}
	parked []chan *conn  // goroutines between two connections
	empty  chan struct{} // closed when the last connection has ended; nil if nothing waits for that
}

// Session is a connection that speaks HTTP/2.
type Session interface {
	// Serve returns false when the connection is closed. It returns true when
	// the connection waits in an IdleSet, and goes on when it is called again
	// after the Sleeper was awakened.
	Serve() (asleep bool)
}

// stamp is a second and its text in a Date field.
type stamp struct {
	second int64
	text   string
}

// date returns the current time for a Date field. Two callers may make the same
// stamp, which is harmless.
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

// Serve accepts connections until Shutdown or Close, and then returns
// http.ErrServerClosed. When there is no descriptor for a client that waits, it
// closes idle connections and pauses.
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
			if s.displace() {
				pause = firstPause
			}
			time.Sleep(pause)
			pause = min(2*pause, lastPause)
		default:
			return err
		}
	}
}

// exhausted reports whether accept failed for a temporary lack of something, or
// for a client that has left already.
func exhausted(err error) bool {
	return socket.Exhausted(err) || errors.Is(err, syscall.ECONNABORTED)
}

func (s *Server) listen(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}

	if s.listeners == nil {
		s.pipes.Budget, s.pipes.Most = s.Budget, s.MaxPipes
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

// admit starts the goroutine of a connection. It closes the connection if there
// are too many, or no memory for it.
func (s *Server) admit(c net.Conn) {
	if !s.afford() {
		s.Budget.Count(socket.RefusedConnection, 1)
		c.Close()
		return
	}

	k := newConn(s, c)
	k.share.Keep()
	if s.enter(k) || s.makeRoom() && s.enter(k) {
		return
	}

	c.Close()
	s.Budget.Give(connectionMemory + transactionMemory)
	s.Budget.Count(socket.RefusedConnection, 1)
}

// affordTime is how long a connection waits for memory that is coming back.
const affordTime = time.Second

// youngShortage is how long memory must have been short before connections are
// refused for it. A client that does not read can be cut only after it has been
// waited for, so at first there may be nobody to cut.
const youngShortage = 200 * time.Millisecond

// maxUnpaid is how many connections may wait for memory at a time.
const maxUnpaid = 64

// afford takes the memory of a connection and of its first request. While load
// is shed and memory is coming back, no further connection is accepted. The
// kernel holds the new ones, and each finds memory when it is accepted.
func (s *Server) afford() bool {
	for waited := time.Duration(0); s.isShort(); waited += firstPause {
		s.Budget.Take(0, socket.Needed) // sheds load
		young := time.Since(s.shortSince) < youngShortage
		if waited >= affordTime || !s.Budget.Relieved() && !young {
			break
		}
		time.Sleep(firstPause)
	}

	return s.Budget.Take(connectionMemory+transactionMemory, socket.Needed)
}

// isShort reports whether memory is short, and notes since when.
func (s *Server) isShort() bool {
	switch {
	case !s.Budget.Short():
		s.shortSince = time.Time{}
		return false
	case s.shortSince.IsZero():
		s.shortSince = time.Now()
	}
	return true
}

// enter starts the goroutine of a connection, unless there are too many, and
// reports whether it did.
func (s *Server) enter(k *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.full() {
		return false
	}

	s.conns[k] = struct{}{}
	s.start(k)
	return true
}

// full reports whether there is no room for another connection. The caller
// holds the lock.
func (s *Server) full() bool { return s.MaxConnections > 0 && len(s.conns) >= s.MaxConnections }

// roomTime is how long a new connection waits for another one to end that was
// closed for it.
const roomTime = 100 * time.Millisecond

// makeRoom closes idle connections and waits for the first of them to end. It
// reports whether one did.
func (s *Server) makeRoom() bool {
	if !s.displace() {
		return false
	}

	s.mu.Lock()
	if !s.full() {
		s.mu.Unlock()
		return true
	}

	room := make(chan struct{})
	s.room = room
	s.mu.Unlock()

	limit := time.NewTimer(roomTime)
	defer limit.Stop()

	select {
	case <-room:
		return true
	case <-limit.C:
		return false
	}
}

// forget ends the work of a connection's goroutine. A tunnel is still counted.
func (s *Server) forget(c *conn) {
	if c.state.Load() != tunnel {
		s.leave(c)
	}
}

// leave removes a closed connection.
func (s *Server) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	c.share.Close(s.Budget, transactionMemory)
	s.Budget.Give(connectionMemory)
	if s.room != nil {
		close(s.room)
		s.room = nil
	}

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

// acquire gives a connection its transaction.
func (s *Server) acquire(c *conn) {
	x, ok := s.transactions.Get().(*transaction)
	if !ok {
		x = newTransaction()
	}

	x.attach(c)
	x.paid = c.share.Use(s.Budget, transactionMemory)
	c.x = x
}

// release takes the transaction back.
func (s *Server) release(c *conn) {
	x := c.x
	c.x = nil
	x.detach()
	c.share.Rest(s.Budget, transactionMemory)
	s.transactions.Put(x)
}

// Drain makes every further answer carry "Connection: close". It goes on
// accepting, and from now on also clients that have sent nothing yet, so that
// they learn of the end.
func (s *Server) Drain() {
	s.draining.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.listeners {
		if patient, ok := l.(interface{ AcceptAtOnce() }); ok {
			patient.AcceptAtOnce()
		}
	}
}

// Shutdown closes the listeners and the idle connections. It waits for
// transactions in progress, tunnels and HTTP/2 connections, or for ctx.
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

// Close closes everything at once. It does not wait for handlers, whose clients
// are gone then.
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

// kill ends a connection from another goroutine. Closing it would wait for the
// poller's callback, so kill only shuts the socket down. The connection's
// goroutine closes it.
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

// halves is a connection whose two directions can be shut down separately.
type halves interface {
	CloseRead() error
	CloseWrite() error
}

// netConn returns the connection under TLS.
func netConn(c net.Conn) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c
}

// Connections returns the number of open client connections, and how many of
// them are tunnels.
func (s *Server) Connections() (open, tunnels int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns), s.tunnels
}

// Unused returns for how long there has been no client connection, or 0 if
// there is one. A connection that came and went since the last call counts too.
func (s *Server) Unused() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) > 0 {
		return 0
	}

	return time.Since(s.left)
}
