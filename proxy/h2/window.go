package h2

import (
	"encoding/binary"

	"github.com/pillion-lb/pillion/proxy/socket"
)

// Flow control, RFC 9113 section 5.2.
//
// The windows of the stream and of the connection limit what a peer may send. A
// stream begins with a small window. It grows, with memory from the budget, for
// a stream whose content is being read as it comes.
const (
	serverWindow = 1 << 20 // of a client's connection: the most content that this process holds for it
	clientStream = 64 << 10

	backendWindow = 1 << 30 // of a connection to a backend, which the windows of its streams limit
	backendStream = 16 << 10
	readStream    = 64 << 10  // of a backend's stream after its first window
	widestStream  = 256 << 10 // the largest, for content that is read as fast as it comes

	// mostWidened is the memory of all streams of one client's connection
	// beyond which no window grows.
	mostWidened = 1 << 20
)

// credit gives back n bytes of the connection's window, in large pieces. The
// caller holds the mutex.
func (c *conn) credit(n int) {
	c.recvOwed += n
	if c.recvOwed >= c.recvSize/2 {
		c.out = appendWindowUpdate(c.out, 0, c.recvOwed)
		c.recvWindow += int64(c.recvOwed)
		c.recvOwed = 0
	}
}

// consumed runs after a stream's reader took n bytes of content. The caller
// holds the mutex.
func (st *stream) consumed(n int) {
	c := st.c
	if c.server != nil {
		c.credit(n)
	}
	if st.inEnd || st.gone {
		c.kick()
		return
	}
	if st.content.len() == 0 && st.recvWindow < st.recvSize/2 {
		st.grow(2 * st.recvSize) // the reader is as fast as the peer, so the window limits the peer
	}
	st.owe(n)
	c.kick()
}

// owe gives back n bytes of the stream's window, in large pieces.
func (st *stream) owe(n int) {
	st.recvOwed += n
	if st.recvOwed >= st.recvSize/2 {
		st.c.out = appendWindowUpdate(st.c.out, st.id, st.recvOwed)
		st.recvWindow += st.recvOwed
		st.recvOwed = 0
	}
}

// widen makes the window of a backend's stream larger when the first half of
// the small one was used.
func (st *stream) widen() {
	if st.k != nil && st.recvSize == backendStream && st.recvWindow <= backendStream/2 {
		st.grow(readStream)
	}
}

// grow makes the window larger if the budget has memory for it.
func (st *stream) grow(size int) {
	size = min(size, widestStream)
	more := size - st.recvSize
	if more <= 0 || st.account != nil && st.account.Used()+int64(more) > mostWidened {
		return
	}
	if !st.take(int64(more), socket.Optional) {
		return
	}
	st.recvSize = size
	st.recvOwed += more
}

// windowUpdate handles WINDOW_UPDATE (RFC 9113 section 6.9).
func (c *conn) windowUpdate(id uint32, p []byte) error {
	if len(p) != 4 {
		return connError{frameSizeError, "WINDOW_UPDATE"}
	}
	n := int64(binary.BigEndian.Uint32(p) & largestValue)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n < leastUpdate {
		if err := c.tolerate(); err != nil {
			return err
		}
	}
	if id == 0 {
		return c.widenConnection(n)
	}
	st := c.find(id)
	if st == nil {
		if c.isIdle(id) {
			return connError{protocolError, "WINDOW_UPDATE on an idle stream"}
		}
		return nil
	}
	if n == 0 {
		return c.reject(st, protocolError)
	}
	if st.sendWindow += n; st.sendWindow > largestValue {
		return c.reject(st, flowControlError)
	}
	c.later(&st.writer)
	return nil
}

// leastUpdate is the size below which a WINDOW_UPDATE is counted. Small ones
// make this side send many small frames (CVE-2019-9511).
const leastUpdate = 32

func (c *conn) widenConnection(n int64) error {
	if n == 0 {
		return connError{protocolError, "WINDOW_UPDATE of 0"}
	}
	if c.sendWindow += n; c.sendWindow > largestValue {
		return connError{flowControlError, "window beyond 2^31-1"}
	}
	for i, st := range c.starved {
		c.later(&st.writer)
		c.starved[i] = nil
	}
	c.starved = c.starved[:0]
	return nil
}

// moveWindows changes the windows of all streams (RFC 9113 section 6.9.2). A
// window may become negative. The caller holds the mutex.
func (c *conn) moveWindows(size int64) error {
	delta := size - c.peer.window
	c.peer.window = size
	for st := range c.streams.all() {
		if st.sendWindow += delta; st.sendWindow > largestValue {
			return connError{flowControlError, "INITIAL_WINDOW_SIZE beyond the largest window"}
		}
		c.later(&st.writer)
	}
	return nil
}
