package h2

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
)

// input is the state of a connection's reader.
type input struct {
	buf    []byte // borrowed for a read and for handling what it brought
	begun  []byte // the part of a frame that came before a wait
	r, w   int    // the part of buf that was not handled yet
	err    error  // of the poller's callback
	onRead func(fd uintptr) bool
	doubt  time.Time // until when the wait relies on a short read: the read deadline
	quiet  bool      // few streams are open, so a short read has emptied the socket
	busy   bool      // many streams are open, and batches follow closely: see gather
	full   bool      // the last read through net.Conn filled its buffer
	small  []byte    // for such reads while nothing is expected to come

	now      time.Time // of the batch
	close    bool      // the batch before was a moment ago
	prefaced bool      // the client's preface came
	settled  bool      // the peer's first SETTINGS came
	dec      decoder
	block    fieldBlock
	data     dataFrame

	// What happens at the end of the batch.
	wake    []*waiter
	cancels []*streamContext
	starts  []*transaction
}

const (
	readBuffer  = 64 << 10
	smallBuffer = 1 << 10
)

var readBuffers = sync.Pool{New: func() any { return new([readBuffer]byte) }}

// borrow takes a buffer. It begins with the rest of the last one.
func (c *conn) borrow() {
	if c.buf != nil {
		return
	}

	c.buf = readBuffers.Get().(*[readBuffer]byte)[:]
	c.r, c.w = 0, copy(c.buf, c.begun)
	if n := len(c.begun); n > smallPart && c.account != nil {
		c.account.Give(int64(n))
	}
	c.begun = nil
}

// smallPart is the size of a kept part that connectionMemory includes.
const smallPart = 1 << 10

// giveBack returns the buffer before a wait. The beginning of a frame is kept
// in memory of its own size, from the budget. Otherwise clients that send
// frames in parts could make each of their connections keep a whole buffer.
func (c *conn) giveBack() error {
	if c.buf == nil {
		return nil
	}

	if n := c.w - c.r; n > 0 {
		if n > smallPart && c.account != nil && !c.account.Take(int64(n), socket.Lasting) {
			c.server.Budget.Count(socket.RefusedRequest, 1)
			return connError{enhanceYourCalm, "no memory for a part of a frame"}
		}
		c.begun = append(make([]byte, 0, n), c.buf[c.r:c.w]...)
	}
	readBuffers.Put((*[readBuffer]byte)(c.buf))
	c.buf, c.r, c.w = nil, 0, 0

	return nil
}

// read reads until the connection ends, and returns why it ended.
func (c *conn) read() error {
	if c.w > c.r { // bytes that were read before
		if err := c.process(); err != nil {
			return err
		}
		if err := c.giveBack(); err != nil {
			return err
		}
	}
	if c.raw == nil {
		return c.readPlainly()
	}
	for {
		err := c.raw.Read(c.onRead)
		switch {
		case err == nil:
			return c.err
		case !errors.Is(err, os.ErrDeadlineExceeded) || c.doubt.IsZero():
			return err
		case c.sleep():
			return errAsleep
		}
	}
}

// doubtTime is how long a wait relies on a short read alone. If the peer's FIN
// came with its last bytes, the poller reports nothing more.
const doubtTime = 500 * time.Millisecond

// readable is the poller's callback. One RawConn.Read lasts as long as the
// connection, and does all the reading. The poller is reset only when it
// begins, so an event that comes while the callback works is not lost.
func (c *conn) readable(fd uintptr) (done bool) {
	for came := false; ; came = true {
		c.borrow()
		n, errno := socket.Recv(int(fd), c.buf[c.w:])
		switch {
		case errno == syscall.EAGAIN:
			if came {
				c.believe()
			}
			c.err = c.giveBack()
			return c.err != nil
		case errno != 0:
			c.err = errno
			return true
		case n == 0:
			c.err = io.EOF
			return true
		}
		short := c.w+n < len(c.buf)
		c.w += n
		if c.err = c.process(); c.err != nil {
			return true
		}
		if short && c.quiet {
			if c.err = c.giveBack(); c.err != nil {
				return true
			}
			c.believe()
			return false
		}
		if n < gatherBelow && c.busy {
			c.gather()
		}
	}
}

// believe sets the deadline after which a short read is no longer relied on,
// and an idle connection sleeps. One that comes early enough is left as it is.
func (c *conn) believe() {
	latest := c.now.Add(doubtTime)
	if c.doubt.Before(c.now) || c.doubt.After(latest) {
		c.doubt = latest
		c.nc.SetReadDeadline(c.doubt)
	}
}

// readPlainly reads from a connection that is not clear-text TCP. Such a read
// keeps its buffer while it waits, so the buffer is small unless more is
// expected.
func (c *conn) readPlainly() error {
	for {
		n, err := c.readOnce()
		if n > 0 {
			if err := c.process(); err != nil {
				return err
			}
			if err := c.giveBack(); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

func (c *conn) readOnce() (int, error) {
	if c.buf == nil && !c.full {
		if c.small == nil {
			c.small = make([]byte, smallBuffer)
		}
		n, err := c.nc.Read(c.small)
		if n > 0 {
			c.borrow()
			c.w += copy(c.buf[c.w:], c.small[:n])
		}
		c.full = n == len(c.small)
		return n, err
	}
	c.borrow()
	room := c.buf[c.w:]
	n, err := c.nc.Read(room)
	c.w += n
	c.full = n == len(room)
	return n, err
}

// process handles all whole frames of a read, and the part of a DATA frame that
// has come. Then it wakes the goroutines that wait for them.
func (c *conn) process() error {
	before := c.now
	c.now = time.Now()
	c.close = c.now.Sub(before) < closely
	err := c.frames()
	c.deliver()
	if c.r == c.w {
		c.r, c.w = 0, 0
	} else if c.r > 0 && len(c.buf)-c.r < maxFrame+frameHead {
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	}
	return err
}

// later notes a waiter to be woken at the end of the batch. The caller is the
// reader, with the mutex.
func (c *conn) later(w *waiter) {
	if w.waiting {
		w.waiting = false
		c.wake = append(c.wake, w)
	}
}

// deliver ends a batch: it wakes waiters and starts handlers.
func (c *conn) deliver() {
	for i, w := range c.wake {
		w.poke()
		c.wake[i] = nil
	}
	c.wake = c.wake[:0]
	for i, ctx := range c.cancels {
		ctx.cancel()
		c.cancels[i] = nil
	}
	c.cancels = c.cancels[:0]
	for i, x := range c.starts {
		go x.run()
		c.starts[i] = nil
	}
	c.starts = c.starts[:0]

	c.mu.Lock()
	defer c.mu.Unlock()
	c.quiet = c.open <= 1
	c.busy = c.close && c.open >= gatherStreams
	c.heard = c.now
	c.midway(c.block.id != 0 || c.w > c.r && !c.data.active)
	c.kick()
}

// frames handles the whole frames in the buffer.
func (c *conn) frames() error {
	if c.server != nil && !c.prefaced {
		if more, err := c.takePreface(); err != nil || !more {
			return err
		}
	}
	for {
		if c.data.active {
			if done, err := c.takeData(); err != nil || !done {
				return err
			}
			continue
		}
		if more, err := c.takeFrame(); err != nil || !more {
			return err
		}
	}
}

// takePreface checks the client's preface (RFC 9113 section 3.4).
func (c *conn) takePreface() (more bool, err error) {
	b := c.buf[c.r:c.w]
	n := min(len(b), len(preface))
	if string(b[:n]) != preface[:n] {
		return false, connError{protocolError, "no preface"}
	}
	if n < len(preface) {
		return false, nil
	}
	c.r += n
	c.prefaced = true
	return true, nil
}

// takeFrame handles one frame, or the head of a DATA frame. It reports false if
// more bytes have to come first.
func (c *conn) takeFrame() (more bool, err error) {
	b := c.buf[c.r:c.w]
	if len(b) < frameHead {
		return false, nil
	}
	length := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
	kind, flags, id := b[3], b[4], binary.BigEndian.Uint32(b[5:])&largestValue
	switch {
	case !c.settled && string(b[:5]) == "HTTP/":
		return false, connError{protocolError,
			"the backend answers in HTTP/1.1: write http:// in its target"}
	case length > maxFrame:
		return false, connError{frameSizeError, "frame too large"}
	case c.block.id != 0 && (kind != frameContinuation || id != c.block.id):
		return false, connError{protocolError, "field block interrupted"}
	case !c.settled && kind != frameSettings:
		return false, connError{protocolError, "no SETTINGS at first"}
	}

	if kind == frameData {
		if flags&flagPadded != 0 && length > 0 && len(b) == frameHead {
			return false, nil // the length of the padding has to come first
		}
		c.r += frameHead
		return true, c.beginData(length, flags, id)
	}
	if len(b) < frameHead+length {
		return false, nil
	}
	c.r += frameHead + length
	return true, c.frame(kind, flags, id, b[frameHead:frameHead+length])
}

// frame handles a frame that is not DATA.
func (c *conn) frame(kind, flags byte, id uint32, p []byte) error {
	switch kind {
	case frameHeaders:
		return c.headers(flags, id, p)
	case frameContinuation:
		return c.continuation(flags, id, p)
	case frameSettings:
		return c.settings(flags, id, p)
	case frameWindowUpdate:
		return c.windowUpdate(id, p)
	case frameRSTStream:
		return c.rstStream(id, p)
	case framePing:
		return c.ping(flags, id, p)
	case framePriority:
		return c.priority(id, p)
	case frameGoAway:
		return c.goAway(id, p)
	case framePushPromise:
		return connError{protocolError, "PUSH_PROMISE"}
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tolerate() // RFC 9113 section 4.1: unknown types are ignored
}
