package h1

import (
	"io"
	"net"
	"syscall"
)

// Inlet is the side of a tunnel that is read. It belongs to one goroutine.
//
// A clear-text TCP connection is read inside the callback of its RawConn.Read, as requests are (conn): only where bytes
// have come is there a buffer for them.
type Inlet struct {
	from   io.Reader
	loans  *Loans
	raw    syscall.RawConn // nil: not clear-text TCP
	onRead func(fd uintptr) bool
	take   func(p []byte) bool
	buf    *[]byte // nil while nothing is on its way
	err    error

	// While bytes are moved without copying.
	to     *Outlet
	left   int64
	moved  func(n int64)
	failed error // the outlet
	onMove func(fd uintptr) bool
	pipe   *pipe // nil while nothing is on its way
	copies bool  // the kernel cannot splice
}

// NewInlet reads from a side. One that is a TCP connection or shows it, as Tunnel and Upgraded do, is read without it, but
// for what it has Buffered.
func NewInlet(from io.Reader, loans *Loans) *Inlet {
	i := &Inlet{from: from, loans: loans, raw: rawOf(from)}
	i.onRead, i.onMove = i.readable, i.movable
	return i
}

// rawOf is the raw connection under a side of a tunnel, nil for any but clear-text TCP.
func rawOf(side any) syscall.RawConn {
	if s, ok := side.(interface{ NetConn() net.Conn }); ok {
		side = s.NetConn()
	}
	if c, ok := side.(net.Conn); ok {
		return poller(c)
	}
	return nil
}

// Receive gives take what comes, piece by piece, until take returns false, which makes it return nil, or the side ends,
// which is io.EOF when it is in order. A piece is valid until the next call. Nobody can close the connection while take
// runs, so take must not wait for anything.
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

// plain says that the next bytes are not read from the connection itself.
func (i *Inlet) plain() bool {
	b, ok := i.from.(interface{ Buffered() int })
	return i.raw == nil || ok && b.Buffered() > 0
}

// readable is the poller's callback.
func (i *Inlet) readable(fd uintptr) bool {
	for {
		i.lend(true)
		n, errno := rawRead(int(fd), *i.buf)
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
		i.buf = i.loans.take(large)
	}
}

// Rest gives the buffer back, and with it the last piece.
func (i *Inlet) Rest() {
	if i.buf != nil {
		i.loans.put(i.buf)
		i.buf = nil
	}
}

// Outlet is the side of a tunnel that is written. It belongs to one goroutine at a time.
type Outlet struct {
	io.Writer
	raw     syscall.RawConn // nil: not clear-text TCP
	onWrite func(fd uintptr) bool
	pieces  [3][]byte
	n       int
	errno   syscall.Errno

	pipe    *pipe // that is drained
	waits   bool  // until it is empty
	onDrain func(fd uintptr) bool
}

// NewOutlet writes to a side.
func NewOutlet(to io.Writer) *Outlet {
	o := &Outlet{Writer: to, raw: rawOf(to)}
	o.onWrite, o.onDrain = o.writable, o.drainable
	return o
}

// Offer writes as much as can be written without waiting, which is nothing where that can't be known.
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
	o.n, o.errno = rawWrite(int(fd), &o.pieces)
	return true
}

// failure is what an error number means to somebody who does not wait.
func failure(errno syscall.Errno) error {
	if errno == 0 || errno == syscall.EAGAIN {
		return nil
	}
	return errno
}
