package h1

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// What a connection is doing, for Shutdown and Connections.
const (
	idle int32 = iota
	active
	ending // Shutdown ends the idle connection
	tunnel
	handedToHTTP2 // given to the HTTP/2 server
)

// The reasons for which a connection leaves the poller's callback.
const (
	wait         = iota // it does not leave: more bytes have to come
	outside             // the next request may need the connection itself
	isHTTP2             // it is HTTP/2
	noMemory            // the budget refused the memory for the request
	quietForLong        // nothing has come for a while after a request
	answeredLast        // the last answer was given
	clientEnded         // the client has ended or failed
)

// conn is one client connection. It is small while it is idle. The goroutine
// that serves it owns all of it, except state.
//
// A clear-text TCP connection is served inside the callback of one
// RawConn.Read, over many requests. The poller is reset when Read begins, and
// not between the calls of the callback. So an event that comes while the
// callback works is not lost, and the callback can wait without a read that
// returns EAGAIN. The callback holds the connection's read lock. Whatever may
// read from the connection or close it is therefore done outside.
type conn struct {
	server  *Server
	c       net.Conn
	raw     syscall.RawConn // nil if it is not clear-text TCP
	light   *socket.Conn    // the same connection, until more than one piece was written to it
	session Session         // nil unless it is HTTP/2
	onRead  func(fd uintptr) bool
	tls     *tls.ConnectionState
	remote  string
	x       *transaction // nil while nothing is buffered
	fd      int          // of the callback that is running, or -1
	next    uint8
	dry     bool // the last read has emptied the socket
	unsure  bool // waiting without knowing that the socket is empty
	fresh   bool // no request was read yet, so an HTTP/2 preface may come
	spoke   bool // something was written
	warm    bool // the stack of this goroutine has grown for a request
	late    bool // the limit has passed, but bytes that have come still count
	state   atomic.Int32
	share   socket.Share // the memory of a transaction
	awaits  awaits
	idle    socket.Idle
	grown   atomic.Int64 // bytes of a larger input buffer
	leaving atomic.Bool  // it ends to shed load
	armed   time.Time    // the read deadline
	// The start of the wait: when it became idle, or the head's first byte.
	// Zero if that is not needed yet.
	since time.Time
}

func newConn(s *Server, c net.Conn) *conn {
	k := &conn{server: s, c: c, raw: socket.Raw(c), fd: -1, fresh: true, since: time.Now()}
	k.awaits.head.Store(k.since.UnixNano())
	if k.raw != nil {
		k.onRead, k.idle.Sleeper = k.readable, k
		k.light, _ = c.(*socket.Conn)
	}

	return k
}

// pause is why a goroutine stops to work for a connection.
type pause uint8

const (
	over pause = iota // the connection has ended
	cold              // it should wait in a new goroutine with a small stack
	// It waits in the set of idle connections. Another goroutine may have it
	// already.
	asleep
)

// serve runs the connection until it ends or pauses. The frame of serve is
// small, because it stays on the stack of a connection that waits.
func (c *conn) serve() (p pause) {
	defer func() {
		if p == over {
			c.server.forget(c)
		}
	}()
	if c.session != nil {
		return c.serveHTTP2()
	}
	if c.fresh && !c.handshake() {
		if c.session != nil {
			return c.serveHTTP2()
		}
		c.c.Close()
		return over
	}

	for c.turn() {
		if c.next != quietForLong {
			continue
		}
		if c.sleep() {
			return asleep
		}
		if c.warm {
			c.warm = false
			return cold
		}
	}

	switch {
	case c.session != nil:
		return c.serveHTTP2()
	case c.x != nil:
		c.server.release(c)
	}

	return over
}

// serveHTTP2 runs a connection that was handed over.
func (c *conn) serveHTTP2() pause {
	if c.session.Serve() {
		return asleep
	}

	c.c.Close()

	return over
}

// turn waits for requests and runs them, until something has to be done outside
// of the poller's callback.
func (c *conn) turn() bool {
	if !c.fresh || c.raw == nil {
		// A new connection reads first, because its request has probably come.
		c.rest(false)
	}
	if c.state.Load() == ending {
		return c.end(false)
	}

	c.next = wait
	err := c.wait()
	switch {
	case err != nil && errors.Is(err, os.ErrDeadlineExceeded):
		c.next = quietForLong
		return c.expired()
	case err != nil:
		return c.end(false)
	case c.next == outside:
		return c.run() || c.end(true)
	case c.next == noMemory:
		return c.afford() || c.end(true)
	case c.next == isHTTP2:
		c.handOver()
		return false
	}

	return c.end(c.next == answeredLast)
}

// wait returns when next says why.
func (c *conn) wait() error {
	if c.raw != nil {
		return c.raw.Read(c.onRead)
	}
	for !c.advance() {
	}

	return nil
}

// readable is the poller's callback.
func (c *conn) readable(fd uintptr) bool {
	c.fd, c.dry = int(fd), false
	done := c.advance()
	c.fd = -1
	return done
}

// advance handles the requests that have come. It returns false to wait for
// more bytes.
func (c *conn) advance() bool {
	for {
		if c.x != nil && c.x.in.buffered() > 0 {
			if !c.x.paid {
				c.next = noMemory
				return true
			}

			switch c.parse() {
			case incomplete:
				if c.fd < 0 {
					c.rest(false)
				}
			case refused:
				c.next = answeredLast
				return true
			case preface:
				c.next = isHTTP2
				return true

			case parsed:
				if c.fd < 0 || !c.x.selfContained() {
					c.next = outside
					return true
				}

				if !c.run() {
					c.next = answeredLast
					return true
				}

				continue
			}
		}

		if c.fd >= 0 && c.dry {
			c.rest(true)
			return false
		}

		if stop, result := c.more(); stop {
			return result
		}
	}
}

// more reads once. stop reports that advance must return result.
func (c *conn) more() (stop, result bool) {
	if c.x == nil {
		c.server.acquire(c)
	}

	p, err := c.x.in.room(c.server.headLimit())
	switch {
	case err == wire.ErrShort:
		c.refuseShort()
		c.next = answeredLast
		return true, true
	case err != nil:
		c.refuse(tooLarge(c.x.in.bytes()))
		c.next = answeredLast
		return true, true
	}

	n, err := c.read(p)
	if n == 0 && err == nil {
		c.rest(false)
		return true, false
	}

	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) && c.expired() {
			return false, false
		}
		c.next = clientEnded
		return true, true
	}

	if c.x.in.buffered() == 0 {
		// Otherwise the time for the first head began with the connection.
		if !c.fresh {
			c.restartWait()
		}

		if !c.activate() || !c.awaits.begins() {
			c.next = clientEnded
			return true, true
		}
	}

	c.x.in.w += n
	c.dry = n < len(p)
	return false, false
}

// read returns 0 and no error if no bytes are there.
func (c *conn) read(p []byte) (int, error) {
	if c.fd < 0 {
		return c.c.Read(p)
	}

	n, errno := socket.Recv(c.fd, p)
	switch {
	case errno == syscall.EAGAIN:
		return 0, nil
	case errno != 0:
		return 0, errno
	case n == 0:
		return 0, io.EOF
	}

	return n, nil
}

// rest runs before each wait. It gives back what an idle connection does not
// need, even between two requests of a busy connection: the next request of any
// client then finds it in the processor's caches. A connection with half a head
// in its buffer stays active.
func (c *conn) rest(unsure bool) {
	if c.x != nil && c.x.in.buffered() == 0 {
		c.quiet()
		c.server.release(c)
	}

	c.unsure = unsure
	c.arm()

	if since := c.since; since.IsZero() {
		c.awaits.head.CompareAndSwap(0, time.Now().UnixNano())
	} else {
		c.awaits.head.CompareAndSwap(0, since.UnixNano())
	}
}

// quiet makes the connection idle. Shutdown first sets stopping and then looks
// for idle connections, so one of the two sees the other.
func (c *conn) quiet() {
	if !c.state.CompareAndSwap(active, idle) {
		return
	}

	c.restartWait()
	if c.server.stopping.Load() && c.state.CompareAndSwap(idle, ending) {
		c.interrupt()
	}
}

// activate ends the idle time, and reports false if the connection ends
// instead. A connection is active still if its last request was in the buffer
// already, behind the one before, because it did not wait for it.
func (c *conn) activate() bool {
	return c.state.CompareAndSwap(idle, active) || c.state.Load() == active
}

// restartWait begins another wait. Its limit counts from the first time that it
// is asked for.
func (c *conn) restartWait() { c.since, c.late = time.Time{}, false }

// halfCloseCheck is how long a wait relies on a short read alone. If the
// client's FIN came with its last bytes, the poller reports nothing more, and a
// client that half-closed and waits for the end gets it after this time.
const halfCloseCheck = 500 * time.Millisecond

// limit returns when the present wait ends; zero is never.
func (c *conn) limit() time.Time {
	d := c.server.IdleTimeout
	switch {
	case c.x != nil && c.x.in.buffered() > 0:
		d = c.server.HeaderTimeout
	case c.fresh && c.server.HeaderTimeout > 0 && (d <= 0 || d > c.server.HeaderTimeout):
		d = c.server.HeaderTimeout // a new client has a request to send
	}

	if c.unsure && (d <= 0 || d > halfCloseCheck) {
		d = halfCloseCheck
	}
	if d <= 0 {
		return time.Time{}
	}

	if c.since.IsZero() {
		c.since = time.Now()
	}

	return c.since.Add(d)
}

// arm sets a deadline that wakes the connection at its limit or earlier. A
// deadline costs a timer. So an earlier one is left as it is, and expired
// compares the clock.
func (c *conn) arm() {
	if c.state.Load() == ending || c.late {
		return // the deadline has passed, or is the last one
	}

	limit := c.limit()
	if limit.IsZero() || !c.armed.IsZero() && !c.armed.After(limit) {
		return
	}

	c.wake(limit)
}

// wake sets the read deadline. Shutdown may have set its own meanwhile, so one
// of the two sees the other.
func (c *conn) wake(at time.Time) {
	c.armed = at
	c.c.SetReadDeadline(at)
	if c.state.Load() == ending {
		c.interrupt()
	}
}

// lateRead is the time for reading what came before the limit. After a deadline
// the runtime does not look at the socket. If this machine had no CPU for so
// long, the bytes of all clients are waiting there.
const lateRead = 50 * time.Millisecond

// expired reports whether to go on after the deadline woke the connection.
func (c *conn) expired() bool {
	if c.state.Load() == ending {
		return c.end(false)
	}

	c.unsure = false
	limit := c.limit()
	if limit.IsZero() || time.Now().Before(limit) {
		c.wake(limit)
		return true
	}

	if !c.late {
		c.late = true
		c.wake(time.Now().Add(lateRead))
		return true
	}

	if c.x != nil && c.x.in.buffered() > 0 {
		c.refuse(&refusal{http.StatusRequestTimeout, "head not complete in time"})
		return c.end(true)
	}

	return c.end(false)
}

// interrupt ends a read in progress, or the wait in the set of idle
// connections. The next read has to arm again.
func (c *conn) interrupt() {
	c.c.SetReadDeadline(past)
	c.server.Idle.Wake(&c.idle)
}

// receive is the source of request bodies. It waits for the next bytes no
// longer than the stall timeout.
func (c *conn) receive(p []byte) (int, error) {
	c.armed = time.Time{}
	if c.server.StallTimeout > 0 {
		c.armed = time.Now().Add(c.server.StallTimeout)
	}

	c.c.SetReadDeadline(c.armed)
	if c.x.body.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}

	c.awaits.read.Store(time.Now().UnixNano())
	defer c.awaits.read.Store(0)

	n, err := c.c.Read(p)
	if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || c.x.body.closed.Load() {
		return n, err
	}

	// See lateRead.
	c.armed = time.Now().Add(lateRead)
	c.c.SetReadDeadline(c.armed)
	if c.x.body.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}

	return c.c.Read(p)
}

// unread reports whether bytes of the client have come that nobody has read. It
// reports false where that can't be known, as under TLS.
func (c *conn) unread() bool {
	p := socket.Silent
	if c.raw != nil {
		c.raw.Control(func(fd uintptr) { p = socket.Peek(int(fd)) })
	}

	return p == socket.Readable
}

// end closes the connection, and returns false for its callers to return. After
// an answer, the client may still be sending. Closing at once would make the
// kernel send a RST, which may destroy the answer on its way (RFC 9112 section
// 9.6).
func (c *conn) end(answered bool) bool {
	if c.state.Load() == tunnel {
		return false
	}

	switch {
	case c.x != nil && c.x.writer.cut:
		c.reset()
	case answered && !c.x.last() && c.x.paid:
		c.linger()
	}

	c.c.Close()
	return false
}

// reset closes the connection by a RST, so that the client notices that its
// answer is cut.
func (c *conn) reset() {
	under := netConn(c.c)
	if tcp, ok := under.(interface{ SetLinger(int) error }); ok {
		tcp.SetLinger(0)
	}
	if c.tls != nil {
		under.Close()
	}
}

// lingerTime is how long the connection reads on from a client that is still
// sending after its answer.
const lingerTime = 500 * time.Millisecond

// linger ends the server's direction and reads for a short while until the
// client ends too.
func (c *conn) linger() {
	half, ok := c.c.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}

	c.c.SetReadDeadline(time.Now().Add(lingerTime))
	p := make([]byte, firstBuffer)
	for {
		if _, err := c.c.Read(p); err != nil {
			return
		}
	}
}
