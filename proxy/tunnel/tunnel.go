package tunnel

import (
	"bufio"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
)

// Tunnel is one WebSocket. Each of its two directions is relayed by a
// goroutine.
type Tunnel struct {
	client  Client
	backend io.ReadWriteCloser
	down    frames // frames towards the client
	up      frames // frames towards the backend
	ending  atomic.Bool
	buffers *socket.Buffers
}

// Answered allows the tunnel to write to its client, after the handshake was
// answered. It must be called once after Add.
func (t *Tunnel) Answered() { t.down.mu.Unlock() }

// Client is a connection taken over from HTTP/1.1, or a stream of HTTP/2.
type Client interface {
	io.ReadWriteCloser
	SetWriteDeadline(time.Time) error
}

// halfClosedTime is how long the second direction may go on after the first has
// ended.
const halfClosedTime = 5 * time.Second

// closingTime is how long a tunnel may take for its closing handshake at the
// end of the process.
const closingTime = time.Second

// Relay relays both directions and returns how many bytes went up and down.
// When one direction ends, the other side gets a half-close and some time to
// finish.
func (t *Tunnel) Relay(glued *bufio.Reader) (up, down int64) {
	var both sync.WaitGroup
	stop := time.AfterFunc(0, func() {})
	stop.Stop()
	var once sync.Once
	half := func() { once.Do(func() { stop = time.AfterFunc(halfClosedTime, t.Close) }) }
	early, _ := glued.Peek(glued.Buffered())
	both.Go(func() {
		up = t.copy(t.backend, t.client, &t.up, early)
		halfClose(t.backend)
		half()
	})
	down = t.copy(t.client, t.backend, &t.down, nil)
	halfClose(t.client)
	half()
	both.Wait()
	stop.Stop()

	return up, down
}

// copy relays one direction until it ends, beginning with the bytes in early.
// It returns how many bytes were relayed.
func (t *Tunnel) copy(to io.Writer, from io.Reader, b *frames, early []byte) int64 {
	d := &direction{
		tunnel: t, frames: b, rest: early,
		in: socket.NewInlet(from, t.buffers), out: socket.NewOutlet(to),
	}
	defer d.in.Rest()

	d.relay()
	return d.n
}

// direction is one direction of a tunnel while it is relayed. It belongs to one
// goroutine.
type direction struct {
	tunnel *Tunnel
	frames *frames
	in     *socket.Inlet
	out    *socket.Outlet

	rest        []byte // bytes that were read and not written yet
	n           int64  // bytes that were written
	read, write error
}

// relay works inside the poller's callback of the side that is read, as long as
// possible. It leaves the callback to wait, and for the rest of a long frame,
// which the kernel moves.
func (d *direction) relay() {
	take := d.take
	for {
		if d.writeRest() {
			continue
		}

		if d.write != nil {
			d.tunnel.Close()
		}
		if d.write != nil || d.read != nil {
			return
		}

		if d.long() && d.move() {
			continue
		}

		d.read = d.in.Receive(take)
	}
}

// take writes bytes that have come, as far as possible without waiting. It
// reports whether more may follow at once.
func (d *direction) take(p []byte) bool {
	if d.tunnel.ending.Load() {
		d.rest = p // writeRest cuts it at a boundary
		return false
	}

	var m int
	m, d.write = d.frames.writeNow(d.out, p)
	d.n, d.rest = d.n+int64(m), p[m:]
	return len(d.rest) == 0 && d.write == nil && !d.tunnel.ending.Load() && !d.long()
}

// writeRest writes the bytes that take has left, and a close frame if the
// tunnel is ending. It reports whether it has to be called again.
func (d *direction) writeRest() (again bool) {
	ending := d.tunnel.ending.Load()
	if d.write != nil || len(d.rest) == 0 && !ending {
		return false
	}

	d.write = d.frames.write(d.out, d.rest, ending)
	d.n += int64(len(d.rest))
	d.rest = nil

	// If the tunnel began to end meanwhile, a close frame has to follow.
	return d.write == nil && !ending && d.tunnel.ending.Load()
}

// long reports whether the kernel can move the rest of the frame.
func (d *direction) long() bool {
	return d.frames.left >= socket.MinMove && d.in.CanMove(d.out)
}

// move has the kernel move the rest of the frame. It reports false if nothing
// was moved, so that the bytes have to be copied.
func (d *direction) move() bool {
	before := d.n
	d.read, d.write = d.in.Move(d.out, int64(d.frames.left), func(m int64) {
		d.n += m
		d.frames.skipPayload(m)
	})

	return d.n > before || d.read != nil || d.write != nil
}

// finish sends close frames, and closes the connections after closingTime.
func (t *Tunnel) finish() {
	if t.ending.Swap(true) {
		return
	}

	limit := time.Now().Add(closingTime)
	t.client.SetWriteDeadline(limit)
	if b, ok := t.backend.(interface{ SetWriteDeadline(time.Time) error }); ok {
		b.SetWriteDeadline(limit)
	}

	t.down.interrupt(t.client)
	t.up.interrupt(t.backend)
	time.AfterFunc(closingTime, t.Close)
}

// Close closes both connections. Both directions of Relay return.
func (t *Tunnel) Close() {
	t.client.Close()
	t.backend.Close()
}

// halfClose ends the writing direction, if the connection has one.
func halfClose(c any) {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		h.CloseWrite()
	}
}
