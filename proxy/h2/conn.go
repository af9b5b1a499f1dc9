package h2

import (
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
)

// conn is one connection, of a client or to a backend.
//
// One goroutine reads it (read.go). It handles all frames of one read before it
// wakes another goroutine. A goroutine that sends appends its frames to out,
// under the mutex, and a writer goroutine, which runs only while there is
// output, writes them (write.go). One timer serves all limits (time.go).
//
// The mutex is held only for short sections without waits. It is not held while
// memory is taken from the budget in a way that may shed load.
type conn struct {
	nc        net.Conn
	raw       syscall.RawConn // nil: not clear-text TCP
	server    *Server         // of a client's connection
	transport *Transport      // of one to a backend
	account   *socket.Account // of a client's connection
	idle      socket.Idle     // of a client's connection: see sleep
	greeted   bool            // the server's preface was sent

	input  // used by the reader only
	output // guarded by mu, except what is being written

	mu       sync.Mutex
	streams  table
	last     *stream // the stream that find returned last
	lastID   uint32  // the highest number of an opened stream
	open     int     // streams that are open or reserved
	running  int     // handlers
	resets   []uint32
	debt     int // for streams that were reset: see reckon
	noise    int // for frames without effect: see tolerate
	paidAt   time.Time
	sentAway bool // the final GOAWAY was sent
	received bool // GOAWAY was received, or is wanted: no new streams
	closing  bool // the connection ends with its last stream

	peer settings
	remote
	flow // of the connection
	enc  encoder

	ended bool
	why   connError // the peer's violation of the protocol, if that ended the connection
	clock           // limits
}

// settings are the values that the peer announced (RFC 9113 section 6.5.2).
type settings struct {
	frame      int    // MAX_FRAME_SIZE, as far as it is used
	streams    int    // MAX_CONCURRENT_STREAMS
	window     int64  // INITIAL_WINDOW_SIZE
	headerList uint32 // MAX_HEADER_LIST_SIZE
}

// flow is the connection's flow control (RFC 9113 section 5.2).
type flow struct {
	sendWindow int64
	recvWindow int64 // what the peer may send
	recvOwed   int   // consumed, and not given back yet
	recvSize   int   // the window's size
	starved    []*stream
}

// firstStreams is the number of streams that a peer is assumed to allow before
// its SETTINGS come.
const firstStreams = 100

func newConn(nc net.Conn, headLimit int, window int) *conn {
	c := &conn{nc: nc, raw: socket.Raw(nc)}
	c.peer = settings{
		frame: maxFrame, streams: firstStreams, window: firstWindow, headerList: 1<<32 - 1,
	}
	c.flow = flow{sendWindow: firstWindow, recvWindow: int64(window), recvSize: window}
	c.dec.init(uint32(headLimit))
	c.enc.init()
	c.onRead, c.onWrite, c.onTry = c.readable, c.writable, c.tryWritable
	c.heard = time.Now()
	c.paidAt = c.heard
	return c
}

// find returns an open stream. The caller holds the mutex.
func (c *conn) find(id uint32) *stream {
	if c.last != nil && c.last.id == id {
		return c.last
	}
	st := c.streams.get(id)
	if st != nil {
		c.last = st
	}
	return st
}

// isIdle reports whether a stream was never opened (RFC 9113 section 5.1).
// Streams with even numbers are never opened, because nothing is pushed.
func (c *conn) isIdle(id uint32) bool { return id&1 == 0 || id > c.lastID }

// add opens a stream. The caller holds the mutex.
func (c *conn) add(st *stream) {
	st.sendWindow = c.peer.window
	c.streams.put(st)
	c.last = st
	c.lastID = st.id
}

// remove closes a stream. The caller holds the mutex.
func (c *conn) remove(st *stream) {
	st.gone = true
	c.streams.remove(st.id)
	if c.last == st {
		c.last = nil
	}
	c.open--
	c.rest()
}

// rest runs after a stream or a handler has ended. The caller holds the mutex.
func (c *conn) rest() {
	if c.open > 0 || c.running > 0 {
		return
	}
	c.idleSince = time.Now()
	if d := c.idleTimeout(); d > 0 {
		c.arm(c.idleSince.Add(d))
	}
	if c.closing {
		c.closeWhenWritten()
	}
}

// fail ends a stream early, and wakes its waiters. The caller is the reader,
// with the mutex.
func (c *conn) fail(st *stream, err error) {
	if st.gone {
		return
	}
	st.err = err
	c.remove(st)
	if st.x != nil {
		c.cancels = append(c.cancels, st.x.ctx)
	}
	c.later(&st.reader)
	c.later(&st.writer)
}

// reject resets a stream for a fault of the peer (RFC 9113 section 5.4.2). The
// caller is the reader, with the mutex.
func (c *conn) reject(st *stream, code errorCode) error {
	if st.gone {
		return nil
	}
	c.rst(st.id, code)
	c.fail(st, resetError{code, true})
	if c.server != nil {
		return c.reckon()
	}
	return c.counted()
}

// rst appends RST_STREAM, and remembers the stream, because more of its frames
// may still come. The caller holds the mutex.
func (c *conn) rst(id uint32, code errorCode) {
	c.out = appendRSTStream(c.out, id, code)
	if len(c.resets) < cap(c.resets) || c.resets == nil {
		if c.resets == nil {
			c.resets = make([]uint32, 0, maxResets)
		}
		c.resets = append(c.resets, id)
		return
	}
	c.resets[int(id>>1)%maxResets] = id
}

// maxResets is how many reset streams are remembered. Frames for one of them
// are dropped; frames for any other closed stream are an error.
const maxResets = 128

// wasReset reports whether this side reset the stream. The caller holds the
// mutex.
func (c *conn) wasReset(id uint32) bool {
	for _, r := range c.resets {
		if r == id {
			return true
		}
	}
	return false
}

// shut ends the connection, and all streams with it. The peer is told of a
// connection error first. It may be called from any goroutine that does not
// hold the mutex and is not in a callback of the poller.
func (c *conn) shut(err error) {
	cancels, first := c.abort(err)
	if !first {
		return
	}
	for _, ctx := range cancels {
		ctx.cancel()
	}
	if c.account != nil {
		c.account.Close() // the handlers return what they still hold in a moment
	}

	if _, tell := err.(connError); tell {
		c.linger()
	}
	c.nc.Close()
	if c.server != nil {
		c.server.Idle.Wake(&c.idle)
	}
}

// cut ends the connection at once. The peer is told why if the socket takes it
// without waiting.
func (c *conn) cut(code errorCode) {
	c.mu.Lock()
	if !c.ended {
		c.out = appendGoAway(c.out, c.lastID, code)
		c.tryFlush()
	}
	c.mu.Unlock()
	c.shut(errClosed)
}

// abort takes all streams off the connection. It reports false if another
// goroutine has done so before.
func (c *conn) abort(err error) (cancels []*streamContext, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return nil, false
	}
	c.ended = true
	c.why, _ = err.(connError)
	for st := range c.streams.all() {
		st.err, st.gone = &lostError{err}, true
		if st.x != nil {
			cancels = append(cancels, st.x.ctx)
		}
		st.wakeUp()
	}
	c.open -= c.streams.count
	c.streams.clear()
	c.last, c.starved = nil, nil
	for _, st := range c.crowded {
		st.writer.wakeUp()
	}
	c.crowded = nil
	if e, ok := err.(connError); ok && c.failed == nil {
		c.out = appendGoAway(c.out, c.lastID, e.code)
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	return cancels, true
}

// How long the end of a connection may take: to write the pending output, and
// then for the peer to receive it.
const (
	flushTime  = time.Second
	lingerTime = 500 * time.Millisecond
	briefly    = 20 * time.Millisecond
)

// linger writes the pending output, and reads on for a moment. A close with
// unread input would be a reset, which destroys output that is on its way (RFC
// 9112 section 9.6 says the same of HTTP/1.1). While memory is short, it only
// writes, and for a shorter time.
func (c *conn) linger() {
	if c.budget().Tight() {
		c.awaitWritten(briefly)
		return
	}
	if !c.awaitWritten(flushTime) {
		return
	}
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.nc.SetReadDeadline(time.Now().Add(lingerTime))
	p := make([]byte, 4<<10)
	for {
		if _, err := c.nc.Read(p); err != nil {
			return
		}
	}
}

// closeWhenWritten ends a connection that has nothing left to do. It writes the
// output and closes this direction. Then the peer closes, or the time limit
// ends the connection. The caller holds the mutex.
func (c *conn) closeWhenWritten() {
	if c.ending || c.ended {
		return
	}
	c.ending = true
	c.closeBy = time.Now().Add(flushTime)
	c.arm(c.closeBy)
	if c.kick(); !c.writing {
		go c.closeWrite()
	}
}

// closeWrite closes this direction when all output is written.
func (c *conn) closeWrite() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		c.shut(errClosed)
	}
}
