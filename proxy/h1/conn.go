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
)

// peek is what a socket would say to a read, without reading.
type peek uint8

const (
	silent   peek = iota // nothing to read
	readable             // bytes
	finished             // the peer's orderly end
	broken               // reset, or another error
)

// What a connection is doing, for Shutdown and Connections.
const (
	idle int32 = iota
	active
	ending // Shutdown wants the idle connection to end
	tunnel
	foreign // HTTP/2
)

// Why a connection leaves the poller's callback.
const (
	wait    = iota // it does not: more bytes have to come
	plainly        // the next request may need the connection itself
	handed         // it is HTTP/2
	cooled         // nothing came for a while after a request
	over           // answered, for the last time
	gone           // the client ended or failed
)

// conn is one client connection, small while it is idle. All of it belongs to the goroutine that serves it, but for
// state.
//
// A clear-text TCP connection is served inside the callback of one RawConn.Read that lasts over many requests. The
// runtime's poller is reset when that Read begins and not between its calls of the callback, so an edge that arrives
// while the callback works is kept, and the callback need not ask the kernel for a read that would say EAGAIN before it
// goes to wait. While it is in there, the connection's read lock is held: whatever might read from the connection by
// itself, or close it, is done outside.
type conn struct {
	server *Server
	c      net.Conn
	raw    syscall.RawConn // nil: not clear-text TCP
	light  *socket         // the same, until more than one piece was written to it
	onRead func(fd uintptr) bool
	tls    *tls.ConnectionState
	remote string
	x      *exchange // nil while nothing is buffered
	fd     int       // of the callback that we are in, or -1
	next   uint8
	dry    bool // the last read left no bytes in the kernel
	unsure bool // waiting without having been told that there is nothing
	fresh  bool // no request was read yet: an HTTP/2 preface may come
	spoke  bool // something was written
	warm   bool // this goroutine's stack has grown for a request
	late   bool // the limit has passed: what is in the kernel by now still counts
	state  atomic.Int32
	armed  time.Time // the read deadline
	since  time.Time // idle since, or the head's first byte; zero while there is no need to know
}

func newConn(s *Server, c net.Conn) *conn {
	k := &conn{server: s, c: c, raw: poller(c), fd: -1, fresh: true, since: time.Now()}
	if k.raw != nil {
		k.onRead = k.readable
		k.light, _ = c.(*socket)
	}
	return k
}

// serve runs the connection until its end, or until it is to wait in a goroutine whose stack never grew; then it returns
// true. Its frame is small: it is what an idle connection's stack holds.
func (c *conn) serve() (cold bool) {
	defer func() {
		if !cold {
			c.server.forget(c)
		}
	}()
	if c.fresh && !c.handshake() {
		c.c.Close()
		return false
	}
	for c.turn() {
		if c.next == cooled && c.warm {
			c.warm = false
			return true
		}
	}
	if c.x != nil {
		c.server.release(c)
	}
	return false
}

// turn waits for requests and runs them until something has to happen outside of the poller's callback.
func (c *conn) turn() bool {
	if !c.fresh || c.raw == nil {
		c.rest(false) // else the first bytes are probably there: whoever finds none rests
	}
	if c.state.Load() == ending {
		return c.end(false)
	}
	c.next = wait
	err := c.wait()
	switch {
	case err != nil && errors.Is(err, os.ErrDeadlineExceeded):
		c.next = cooled
		return c.expired()
	case err != nil:
		return c.end(false)
	case c.next == plainly:
		return c.run() || c.end(true)
	case c.next == handed:
		c.handOver()
		return false
	}
	return c.end(c.next == over)
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

// advance handles the requests that are there. It returns false to wait for more bytes.
func (c *conn) advance() bool {
	for {
		if c.x != nil && c.x.in.buffered() > 0 {
			switch c.parse() {
			case incomplete:
				if c.fd < 0 {
					c.rest(false)
				}
			case refused:
				c.next = over
				return true
			case preface:
				c.next = handed
				return true
			case parsed:
				if c.fd < 0 || !c.x.selfContained() {
					c.next = plainly
					return true
				}
				if !c.run() {
					c.next = over
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

// more reads once. It says whether advance has to return, and with what.
func (c *conn) more() (stop, result bool) {
	if c.x == nil {
		c.server.acquire(c)
	}
	p, err := c.x.in.room(c.server.headLimit())
	if err != nil {
		c.refuse(tooLarge(c.x.in.bytes()))
		c.next = over
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
		c.next = gone
		return true, true
	}
	if c.x.in.buffered() == 0 {
		c.anew()
		if !c.state.CompareAndSwap(idle, active) {
			c.next = gone
			return true, true
		}
	}
	c.x.in.w += n
	c.dry = n < len(p)
	return false, false
}

// read returns 0 and no error when there is nothing to read.
func (c *conn) read(p []byte) (int, error) {
	if c.fd < 0 {
		return c.c.Read(p)
	}
	n, errno := rawRead(c.fd, p)
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

// rest is before each wait. What an idle connection does not need is given back, also between the requests of a busy
// one: the next request, whosever it is, finds it in the processor's caches. With half a head in the buffer the
// connection stays active.
func (c *conn) rest(unsure bool) {
	if c.x != nil && c.x.in.buffered() == 0 {
		c.quiet()
		c.server.release(c)
	}
	c.unsure = unsure
	c.arm()
}

// quiet makes the connection idle. Shutdown looks for idle connections after it said that it is stopping: one of the two
// sees the other.
func (c *conn) quiet() {
	if !c.state.CompareAndSwap(active, idle) {
		return
	}
	c.anew()
	if c.server.stopping.Load() && c.state.CompareAndSwap(idle, ending) {
		c.interrupt()
	}
}

// anew begins another wait, whose limit counts from when it is first asked for.
func (c *conn) anew() { c.since, c.late = time.Time{}, false }

// doubt is how long we wait on the word of a short read alone. An orderly end that came with the last bytes makes no
// edge of its own; a client that half-closed and waits for our end gets it then.
const doubt = 500 * time.Millisecond

// limit is when the connection's present wait ends; zero is never.
func (c *conn) limit() time.Time {
	d := c.server.IdleTimeout
	if c.x != nil && c.x.in.buffered() > 0 {
		d = c.server.HeaderTimeout
	}
	if c.unsure && (d <= 0 || d > doubt) {
		d = doubt
	}
	if d <= 0 {
		return time.Time{}
	}
	if c.since.IsZero() {
		c.since = time.Now()
	}
	return c.since.Add(d)
}

// arm sees to it that the poller wakes us no later than at the limit. It may be earlier: a deadline costs a timer, so
// it is left where an earlier wait put it, and expired looks at the clock.
func (c *conn) arm() {
	if c.state.Load() == ending || c.late {
		return // with a deadline in the past, or the last one
	}
	limit := c.limit()
	if c.armed.IsZero() && limit.IsZero() || !c.armed.IsZero() && !limit.IsZero() && !c.armed.After(limit) {
		return
	}
	c.wake(limit)
}

// wake sets the read deadline. Shutdown may have set its own meanwhile: one of the two sees the other.
func (c *conn) wake(at time.Time) {
	c.armed = at
	c.c.SetReadDeadline(at)
	if c.state.Load() == ending {
		c.interrupt()
	}
}

// lastLook is for reading what has come before the limit. The runtime looks at the deadline first and at the socket after it:
// on a machine that left us no CPU for as long as that, everybody's bytes wait there, and nobody was slow but us.
const lastLook = 50 * time.Millisecond

// expired says whether to go on after a deadline woke us.
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
		c.wake(time.Now().Add(lastLook))
		return true
	}
	if c.x != nil && c.x.in.buffered() > 0 {
		c.refuse(&refusal{http.StatusRequestTimeout, "head not complete in time"})
		return c.end(true)
	}
	return c.end(false)
}

// interrupt ends a read in progress. The next one has to arm anew.
func (c *conn) interrupt() { c.c.SetReadDeadline(past) }

// receive is the source of request bodies: at most the stall timeout for the next bytes.
func (c *conn) receive(p []byte) (int, error) {
	c.armed = time.Time{}
	if c.server.StallTimeout > 0 {
		c.armed = time.Now().Add(c.server.StallTimeout)
	}
	c.c.SetReadDeadline(c.armed)
	if c.x.body.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	return c.c.Read(p)
}

// end closes the connection; it always returns false. After an answer the client may still be sending: a close would
// then make the kernel reset the connection and destroy the answer on its way (RFC 9112 section 9.6).
func (c *conn) end(answered bool) bool {
	if c.state.Load() == tunnel {
		return false
	}
	switch {
	case c.x != nil && c.x.writer.cut:
		c.reset()
	case answered && !c.x.last():
		c.linger()
	}
	c.c.Close()
	return false
}

// reset makes the close a reset, so that the client sees that its answer is cut.
func (c *conn) reset() {
	under := netConn(c.c)
	if tcp, ok := under.(interface{ SetLinger(int) error }); ok {
		tcp.SetLinger(0)
	}
	if c.tls != nil {
		under.Close()
	}
}

// lingerTime is for how long a client that is still sending is listened to after its answer.
const lingerTime = 500 * time.Millisecond

// linger says that nothing more will come and reads on until the client ends too, for a short while.
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
