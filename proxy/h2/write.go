package h2

import (
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
)

// output is a connection's frames on their way to the peer.
type output struct {
	out     []byte // the frames that are written next; nil while the connection is idle
	spare   []byte // the buffer for the frames after those
	control int    // frames in out that the peer has caused
	crowded []*stream
	writing bool          // the writer goroutine runs
	failed  error         // the error of a write; nothing more is sent
	written chan struct{} // closed when all is written; nil if nothing waits for that

	// Used by the writer only.
	outgoing []byte
	stuck    bool // the socket took nothing the last time
	onWrite  func(fd uintptr) bool
	onTry    func(fd uintptr) bool
}

const (
	// maxOut is the amount of pending output from which on content has to wait.
	// Heads, trailers and control frames do not wait.
	maxOut = 128 << 10

	// maxOutTight replaces maxOut while memory is short.
	maxOutTight = 16 << 10

	// maxPiece is the size of one write on connections that need a deadline for
	// each write.
	maxPiece = 64 << 10
)

var outputs = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

func borrowOutput() []byte { return (*outputs.Get().(*[]byte))[:0] }

func returnOutput(b []byte) {
	if cap(b) > 0 && cap(b) <= 2*maxOut {
		outputs.Put(&b)
	}
}

// full reports whether content has to wait. The caller holds the mutex.
func (c *conn) isCrowded() bool {
	n := len(c.out)
	return n > maxOutTight && (n > maxOut || c.budget().Tight())
}

// kick starts the writer if there is output and no writer. The caller holds the
// mutex.
func (c *conn) kick() {
	if !c.writing && len(c.out) > 0 && c.failed == nil {
		c.writing = true
		go c.write()
	}
}

// swap takes the pending output.
func (c *conn) swap() []byte {
	out := c.out
	if c.spare == nil {
		c.spare = borrowOutput()
	}
	c.out, c.spare = c.spare[:0], nil
	c.control = 0
	return out
}

// write is the writer goroutine. It ends when no output is left. Before each
// write it lets all other goroutines run, so the frames of several streams go
// out together.
func (c *conn) write() {
	for {
		runtime.Gosched()
		c.mu.Lock()
		out := c.swap()
		c.mu.Unlock()
		err := c.writeAll(out)
		if !c.wrote(out, err) {
			return
		}
	}
}

// wrote runs after a write. It reports false if the writer has to end.
func (c *conn) wrote(out []byte, err error) (more bool) {
	c.mu.Lock()
	if cap(out) <= 2*maxOut {
		c.spare = out[:0]
	}
	for i, st := range c.crowded {
		st.writer.wakeUp()
		c.crowded[i] = nil
	}
	c.crowded = c.crowded[:0]
	more = err == nil && len(c.out) > 0
	if !more {
		c.endWriting(err)
	}
	c.mu.Unlock()

	if err != nil {
		c.shut(err)
	}
	return more
}

// endWriting runs when no output is left, or after an error. The caller holds
// the mutex.
func (c *conn) endWriting(err error) {
	c.writing, c.failed, c.blocked = false, err, noTime
	if c.written != nil {
		close(c.written)
		c.written = nil
	}
	if c.ending && !c.ended {
		go c.closeWrite()
	}
	if c.open == 0 && len(c.out) == 0 {
		returnOutput(c.out)
		returnOutput(c.spare)
		c.out, c.spare = nil, nil
	}
}

// flushNow writes in the caller's goroutine if no other stream is likely to
// send now, as far as the socket accepts it without waiting. The caller holds
// the mutex, which is released during the write.
func (c *conn) flushNow() {
	if c.writing || len(c.out) == 0 || c.failed != nil {
		return
	}
	if c.raw == nil || c.open > 1 {
		c.kick()
		return
	}
	c.tryFlush()
}

// tryFlush writes as much as the socket accepts without waiting, and leaves the
// rest to the writer. The caller holds the mutex, which is released during the
// write.
func (c *conn) tryFlush() {
	if c.writing || c.raw == nil || c.failed != nil {
		return
	}
	c.writing = true
	out := c.swap()
	c.mu.Unlock()
	c.outgoing = out
	err := c.raw.Write(c.onTry)
	rest := c.outgoing
	c.mu.Lock()
	if err == nil && len(rest) == 0 && len(c.out) == 0 {
		c.spare = out[:0]
		c.endWriting(nil)
		return
	}
	go c.writeRest(out, rest, err)
}

// writeRest writes what the socket did not accept at once, and continues as the
// writer.
func (c *conn) writeRest(out, rest []byte, err error) {
	if err == nil && len(rest) > 0 {
		err = c.writeAll(rest)
	}
	if c.wrote(out, err) {
		c.write()
	}
}

// writeAll writes everything and waits until the kernel has it.
func (c *conn) writeAll(out []byte) error {
	if c.raw == nil {
		return c.writePlainly(out)
	}
	c.outgoing = out
	if err := c.raw.Write(c.onWrite); err != nil {
		return err
	}
	if len(c.outgoing) > 0 {
		return syscall.EPIPE
	}
	return nil
}

// writable is the poller's callback.
func (c *conn) writable(fd uintptr) (done bool) {
	for len(c.outgoing) > 0 {
		n, errno := socket.Send(int(fd), &[3][]byte{c.outgoing})
		c.outgoing = c.outgoing[n:]
		if n > 0 && c.stuck || errno == syscall.EAGAIN {
			c.watch(errno == syscall.EAGAIN)
		}
		if errno == syscall.EAGAIN {
			return false
		}
		if errno != 0 {
			return true
		}
	}
	return true
}

// tryWritable is the poller's callback for a write that does not wait.
func (c *conn) tryWritable(fd uintptr) (done bool) {
	for len(c.outgoing) > 0 {
		n, errno := socket.Send(int(fd), &[3][]byte{c.outgoing})
		c.outgoing = c.outgoing[n:]
		if errno != 0 {
			return true // writeRest gets the error again
		}
	}
	return true
}

// writePlainly writes to a connection that is not clear-text TCP.
func (c *conn) writePlainly(out []byte) error {
	for len(out) > 0 {
		n := min(len(out), maxPiece)
		c.watch(true)
		if _, err := c.nc.Write(out[:n]); err != nil {
			return err
		}
		out = out[n:]
	}
	c.watch(false)
	return nil
}

// watch starts or stops the clock for a socket that accepts nothing. Progress
// restarts it.
func (c *conn) watch(stuck bool) {
	c.stuck = stuck
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blocked = noTime
	if d := c.stallTimeout(); stuck && d > 0 {
		c.blocked = time.Now()
		c.arm(c.blocked.Add(d))
	}
}

// awaitWritten waits until everything is written, and reports whether it was.
func (c *conn) awaitWritten(limit time.Duration) bool {
	c.mu.Lock()
	c.kick()
	if !c.writing {
		defer c.mu.Unlock()
		return c.failed == nil
	}
	if c.written == nil {
		c.written = make(chan struct{})
	}
	written := c.written
	c.mu.Unlock()

	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-written:
		return true
	case <-t.C:
		return false
	}
}

// send sends content and ends the stream if that is wanted. It waits for
// windows and for room in the output, each time for at most patience; 0 is no
// limit. The caller holds the mutex.
func (st *stream) send(p []byte, end bool, patience time.Duration) (sent int, err error) {
	c := st.c
	for {
		switch {
		case st.err != nil:
			return sent, st.err
		case st.gone || st.outEnd:
			return sent, errStreamEnded
		case len(p) == 0 && !end:
			return sent, nil
		}
		n := int(min(int64(len(p)), int64(c.peer.frame), st.sendWindow, c.sendWindow))
		if c.isCrowded() || n <= 0 && len(p) > 0 {
			if err := st.awaitRoom(patience); err != nil {
				return sent, err
			}
			continue
		}

		flags := byte(0)
		if end && n == len(p) {
			flags, st.outEnd = flagEndStream, true
		}
		c.out = append(appendFrame(c.out, n, frameData, flags, st.id), p[:n]...)
		c.sendWindow -= int64(n)
		st.sendWindow -= int64(n)
		p = p[n:]
		sent += n
		if st.outEnd {
			return sent, nil
		}
	}
}

// awaitRoom waits until there may be a window and room in the output.
func (st *stream) awaitRoom(patience time.Duration) error {
	c := st.c
	c.kick()
	switch {
	case c.isCrowded():
		c.crowded = append(c.crowded, st)
	case c.sendWindow <= 0:
		c.starved = append(c.starved, st)
	}
	var limit time.Time
	if patience > 0 {
		limit = time.Now().Add(patience)
	}
	late := st.writer.wait(c, limit)

	// The stream's memory may be reused on another connection, so this one must
	// not point to it.
	is := func(other *stream) bool { return other == st }
	c.crowded, c.starved = slices.DeleteFunc(c.crowded, is), slices.DeleteFunc(c.starved, is)
	if late && st.err == nil {
		return errTimeout
	}
	return nil
}
