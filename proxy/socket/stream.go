package socket

import (
	"io"
	"net"
	"syscall"
)

// Inlet is the side of a tunnel that is read. It belongs to one goroutine.
//
// A clear-text TCP connection is read inside the callback of RawConn.Read, so a
// buffer is needed only when bytes have come.
type Inlet struct {
	from    io.Reader
	buffers *Buffers
	raw     syscall.RawConn // nil: not clear-text TCP
	onRead  func(fd uintptr) bool
	take    func(p []byte) bool
	buf     *[]byte // nil while nothing is in transit
	err     error

	// Used while bytes are moved without a copy.
	to     *Outlet
	left   int64
	moved  func(n int64)
	failed error // the error of the outlet
	onMove func(fd uintptr) bool
	pipe   *Pipe // nil while nothing is in transit
}

// NewInlet reads from a side of a tunnel. If the side is a TCP connection, or
// has one (as Tunnel and Upgraded of package h1 do), that connection is read
// directly after what the side has buffered.
func NewInlet(from io.Reader, buffers *Buffers) *Inlet {
	i := &Inlet{from: from, buffers: buffers, raw: rawOf(from)}
	i.onRead, i.onMove = i.readable, i.movable
	return i
}

// rawOf returns the raw connection of a side of a tunnel, or nil if it is not
// clear-text TCP.
func rawOf(side any) syscall.RawConn {
	if s, ok := side.(interface{ NetConn() net.Conn }); ok {
		side = s.NetConn()
	}
	if c, ok := side.(net.Conn); ok {
		return Raw(c)
	}

	return nil
}

// Receive calls take with the bytes that come, piece by piece. It returns nil
// when take returns false, and io.EOF when the side ends in order. A piece is
// valid until the next call. take must not block, because the connection can't
// be closed while it runs.
func (i *Inlet) Receive(take func(p []byte) bool) error {
	if i.plain() {
		i.lend(false)
		n, err := i.from.Read(*i.buf)
		if n > 0 {
			take((*i.buf)[:n])
		}

		return err
	}

	i.take, i.err = take, nil
	if err := i.raw.Read(i.onRead); err != nil {
		return err
	}

	return i.err
}

// plain reports whether the next bytes are not read from the connection itself.
func (i *Inlet) plain() bool {
	b, ok := i.from.(interface{ Buffered() int })
	return i.raw == nil || ok && b.Buffered() > 0
}

// readable is the poller's callback.
func (i *Inlet) readable(fd uintptr) bool {
	for {
		i.lend(true)
		n, errno := Recv(int(fd), *i.buf)
		switch {
		case errno == syscall.EAGAIN:
			i.Rest()
			return false
		case errno != 0:
			i.err = errno
			return true
		case n == 0:
			i.err = io.EOF
			return true
		}

		if !i.take((*i.buf)[:n]) {
			return true
		}
	}
}

func (i *Inlet) lend(large bool) {
	if i.buf == nil {
		i.buf = i.buffers.take(large)
	}
}

// Rest gives the buffer back, and with it the last piece.
func (i *Inlet) Rest() {
	if i.buf != nil {
		i.buffers.put(i.buf)
		i.buf = nil
	}
}

// Outlet is the side of a tunnel that is written. It belongs to one goroutine
// at a time.
type Outlet struct {
	io.Writer
	raw     syscall.RawConn // nil: not clear-text TCP
	onWrite func(fd uintptr) bool
	pieces  [3][]byte
	n       int
	errno   syscall.Errno

	pipe    *Pipe // that is drained
	waits   bool  // until it is empty
	onDrain func(fd uintptr) bool
}

// NewOutlet writes to a side of a tunnel.
func NewOutlet(to io.Writer) *Outlet {
	o := &Outlet{Writer: to, raw: rawOf(to)}
	o.onWrite, o.onDrain = o.writable, o.drainable
	return o
}

// Offer writes as much as possible without waiting. It writes nothing if it
// can't know how much that is.
func (o *Outlet) Offer(p []byte) (int, error) {
	if o.raw == nil {
		return 0, nil
	}

	o.pieces[0] = p
	err := o.raw.Write(o.onWrite)
	o.pieces[0] = nil
	if err != nil {
		return 0, err
	}

	return o.n, failure(o.errno)
}

// writable is the poller's callback.
func (o *Outlet) writable(fd uintptr) bool {
	o.n, o.errno = Send(int(fd), &o.pieces)
	return true
}

// failure converts an error number for a caller that does not wait.
func failure(errno syscall.Errno) error {
	if errno == 0 || errno == syscall.EAGAIN {
		return nil
	}
	return errno
}
