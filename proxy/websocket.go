package proxy

import (
	"encoding/binary"
	"io"
	"sync"

	"github.com/pillion-lb/pillion/proxy/h1"
)

// border follows the frames of one direction of a WebSocket (RFC 6455 section 5.2), so that a close frame of ours can
// be put between two of them and never into one.
type border struct {
	mu     sync.Mutex
	masked bool // frames of this direction are masked: it leads to a server
	head   [14]byte
	have   int    // bytes of a frame's head seen so far
	left   uint64 // payload bytes still to come
	closed bool   // a close frame went by: nothing may follow it
	ours   bool   // it was ours, so what still comes is dropped
}

// atBorder reports whether the next byte begins a frame.
func (b *border) atBorder() bool { return b.have == 0 && b.left == 0 }

// follow takes note of bytes that go by.
func (b *border) follow(p []byte) {
	for len(p) > 0 {
		if b.left > 0 {
			n := min(b.left, uint64(len(p)))
			b.left -= n
			p = p[n:]
			continue
		}
		b.head[b.have] = p[0]
		b.have++
		p = p[1:]
		if b.have >= 2 && b.have == b.headLength() {
			b.begin()
		}
	}
}

// headLength is the length of the frame's head as far as its first two bytes tell.
func (b *border) headLength() int {
	n := 2
	switch b.head[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if b.head[1]&0x80 != 0 {
		n += 4
	}
	return n
}

func (b *border) begin() {
	b.left = uint64(b.head[1] & 0x7f)
	switch b.left {
	case 126:
		b.left = uint64(binary.BigEndian.Uint16(b.head[2:]))
	case 127:
		b.left = binary.BigEndian.Uint64(b.head[2:]) &^ (1 << 63)
	}
	if b.head[0]&0x0f == 8 {
		b.closed = true
	}
	b.have = 0
}

// offer passes on as many bytes as can go without waiting, and says how many that were.
func (b *border) offer(w *h1.Outlet, p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ours {
		return len(p), nil
	}
	n, err := w.Offer(p)
	b.follow(p[:n])
	return n, err
}

// skip takes note of payload bytes that went by without being looked at.
func (b *border) skip(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left -= uint64(n)
}

// pass writes bytes on and follows them. After a close frame of ours nothing more goes out.
func (b *border) pass(w io.Writer, p []byte, ending bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ours {
		return nil
	}
	b.follow(p)
	if len(p) > 0 {
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	if ending {
		b.goAway(w)
	}
	return nil
}

// interrupt puts a close frame into a stream that is silent. One that is moving does it itself at its next border.
func (b *border) interrupt(w io.Writer) {
	if b.mu.TryLock() {
		defer b.mu.Unlock()
		b.goAway(w)
	}
}

// goAway writes a close frame with status 1001, "going away", if the stream stands at a border. The caller holds the
// mutex.
func (b *border) goAway(w io.Writer) {
	if !b.atBorder() || b.closed {
		return
	}
	frame := []byte{0x88, 2, 0x03, 0xe9}
	if b.masked {
		frame = []byte{0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9} // a mask of zeros is a mask
	}
	b.closed, b.ours = true, true
	w.Write(frame)
}
