package h2

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"time"
)

// maxGathered is how many bytes may wait for their write; whoever has more waits too.
const maxGathered = 64 << 10

// parting is how long a closed connection may take for what is still to be written.
const parting = time.Second

// gathered is a connection whose writes are gathered. net/http flushes at the end of nearly every frame, by which a unary
// call is four small writes; here they are left to one goroutine that yields to all others that can run before it writes,
// so that what streams have to say at the same moment goes out at once. The goroutine lives while there is something to
// write, and ends within the limit.
//
// A Write that succeeded may still fail: the connection is closed then, which its reader sees. Write deadlines have no
// effect; a write that makes no progress for the limit fails.
type gathered struct {
	net.Conn
	reader io.Reader
	limit  time.Duration // 0 is none

	mu      sync.Mutex
	changed sync.Cond // room to write, or the end of writing
	pending []byte
	writing bool // the goroutine lives
	closed  bool
	err     error // of a write
}

// gather wraps a connection. With read true reads are gathered too: net/http's server reads the head of a frame and its
// content one by one.
func gather(c net.Conn, limit time.Duration, read bool) *gathered {
	g := &gathered{Conn: c, reader: c, limit: limit}
	if read {
		g.reader = bufio.NewReader(c)
	}
	g.changed.L = &g.mu
	return g
}

// Read fails with net.ErrClosed from Close on.
func (g *gathered) Read(p []byte) (int, error) {
	n, err := g.reader.Read(p)
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) && g.isClosed() {
		err = net.ErrClosed
	}
	return n, err
}

func (g *gathered) isClosed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}

// Write waits only while too much is pending.
func (g *gathered) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.pending) > 0 && len(g.pending)+len(p) > maxGathered && g.err == nil && !g.closed {
		g.changed.Wait()
	}
	switch {
	case g.err != nil:
		return 0, g.err
	case g.closed:
		return 0, net.ErrClosed
	}
	if g.pending == nil {
		g.pending = (*gatherBuffers.Get().(*[]byte))[:0]
	}
	g.pending = append(g.pending, p...)
	if !g.writing {
		g.writing = true
		go g.write()
	}
	return len(p), nil
}

// gatherBuffers hold what is pending, and no longer.
var gatherBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 8<<10); return &b }}

// write is the goroutine.
func (g *gathered) write() {
	for {
		runtime.Gosched()
		out, limit := g.take()
		if out == nil {
			return
		}
		err := g.send(out, limit)
		if cap(out) <= 2*maxGathered {
			gatherBuffers.Put(&out)
		}
		if err != nil {
			g.fail(err)
		}
	}
}

// take is what is to be written next; nil is the end of writing.
func (g *gathered) take() ([]byte, time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.changed.Broadcast()
	out := g.pending
	g.pending = nil
	if out == nil || g.err != nil {
		g.writing = false
		if g.closed {
			g.Conn.Close()
		}
		return nil, 0
	}
	if g.closed {
		return out, parting
	}
	return out, g.limit
}

// send writes. Progress begins the limit anew.
func (g *gathered) send(p []byte, limit time.Duration) error {
	for {
		if limit > 0 {
			g.Conn.SetWriteDeadline(time.Now().Add(limit))
		}
		n, err := g.Conn.Write(p)
		if p = p[n:]; err == nil || n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) || g.isClosed() {
			return err
		}
	}
}

// fail ends the connection.
func (g *gathered) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = err
	g.Conn.Close()
}

// Close ends the connection, after what was written before it. It does not wait for that.
func (g *gathered) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return net.ErrClosed
	}
	g.closed = true
	g.changed.Broadcast()
	if !g.writing {
		return g.Conn.Close()
	}
	g.Conn.SetWriteDeadline(time.Now().Add(parting))
	return g.Conn.SetReadDeadline(time.Unix(1, 0))
}

// written waits until a closed connection is.
func (g *gathered) written() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.writing {
		g.changed.Wait()
	}
}

// SetDeadline is for reads.
func (g *gathered) SetDeadline(t time.Time) error { return g.SetReadDeadline(t) }

// SetReadDeadline has no effect after Close.
func (g *gathered) SetReadDeadline(t time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return net.ErrClosed
	}
	return g.Conn.SetReadDeadline(t)
}

// SetWriteDeadline has no effect: net/http sets one for each of its writes, which end at once.
func (g *gathered) SetWriteDeadline(time.Time) error { return nil }
