package tunnel

import (
	"encoding/binary"
	"io"
	"sync"

	"github.com/pillion-lb/pillion/proxy/socket"
)

// frames tracks the frames of one direction of a WebSocket (RFC 6455 section
// 5.2), so that a close frame can be sent between two of them and never inside
// one.
type frames struct {
	mu     sync.Mutex
	masked bool // frames of this direction are masked, because they go to a server
	head   [14]byte
	have   int    // bytes of the frame's head that have passed
	left   uint64 // payload bytes that have not passed yet
	closed bool   // a close frame has passed, so nothing may follow
	ours   bool   // the close frame was sent by goAway; later bytes are dropped
}

// atBoundary reports whether the next byte begins a frame.
func (b *frames) atBoundary() bool { return b.have == 0 && b.left == 0 }

// follow notes bytes that pass.
func (b *frames) follow(p []byte) {
	for len(p) > 0 {
		p = p[b.followFrame(p):]
	}
}

// followFrame notes bytes that pass, up to the end of the frame that the first
// of them is in. It returns how many these are.
func (b *frames) followFrame(p []byte) int {
	n := 0
	for b.left == 0 {
		if n == len(p) {
			return n
		}

		b.head[b.have] = p[n]
		b.have++
		n++
		if b.have >= 2 && b.have == b.headLength() {
			b.begin()
			if b.left == 0 {
				return n
			}
		}
	}

	payload := min(b.left, uint64(len(p)-n))
	b.left -= payload
	return n + int(payload)
}

// headLength returns the length of the frame's head, as its first two bytes
// tell.
func (b *frames) headLength() int {
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

func (b *frames) begin() {
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

// writeNow writes as many bytes as possible without waiting, and returns how
// many these were.
func (b *frames) writeNow(w *socket.Outlet, p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ours {
		return len(p), nil
	}

	n, err := w.Offer(p)
	b.follow(p[:n])
	return n, err
}

// skipPayload notes payload bytes that passed without being looked at.
func (b *frames) skipPayload(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left -= uint64(n)
}

// write writes bytes and tracks their frames. A tunnel that is ending gets only
// those up to the next boundary, and a close frame there. After goAway all are
// dropped.
func (b *frames) write(w io.Writer, p []byte, ending bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ours {
		return nil
	}

	switch {
	case !ending || b.closed:
		b.follow(p)
	case b.atBoundary():
		p = nil
	default:
		p = p[:b.followFrame(p)]
	}
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

// interrupt sends a close frame into a stream that is silent. A stream that is
// moving does that by itself at the next boundary.
func (b *frames) interrupt(w io.Writer) {
	if b.mu.TryLock() {
		defer b.mu.Unlock()
		b.goAway(w)
	}
}

// goAway writes a close frame with status 1001, "going away", if the stream is
// at a boundary. The caller holds the mutex.
func (b *frames) goAway(w io.Writer) {
	if !b.atBoundary() || b.closed {
		return
	}

	frame := []byte{0x88, 2, 0x03, 0xe9}
	if b.masked {
		frame = []byte{0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9} // with a mask of zeros
	}

	b.closed, b.ours = true, true
	w.Write(frame)
}
