package h1

import (
	"io"
	"net"
	"sync"
	"syscall"
)

// tunnelBuffers hold what is on its way through a tunnel. A tunnel has one only from the moment when bytes come until
// they are gone.
var tunnelBuffers = sync.Pool{New: func() any { b := make([]byte, 128<<10); return &b }}

// Inlet is the side of a tunnel that is read. It belongs to one goroutine.
//
// A clear-text TCP connection is read inside the callback of its RawConn.Read, as requests are (conn): there is a buffer
// only while there are bytes.
type Inlet struct {
	from   io.Reader
	raw    syscall.RawConn // nil: not clear-text TCP
	onRead func(fd uintptr) bool
	take   func(p []byte) bool
	buf    *[]byte // nil while nothing is on its way
	err    error
}

// NewInlet reads from a side. One that shows its connection, as Tunnel and Upgraded do, is read without it.
func NewInlet(from io.Reader) *Inlet {
	i := &Inlet{from: from, raw: rawOf(from)}
	i.onRead = i.readable
	return i
}

// rawOf is the raw connection under a side of a tunnel, nil for any but clear-text TCP.
func rawOf(side any) syscall.RawConn {
	if s, ok := side.(interface{ NetConn() net.Conn }); ok {
		return poller(s.NetConn())
	}
	return nil
}

// Receive gives take what comes, piece by piece, until take returns false or the side ends, which is io.EOF when it is
// in order. A piece is valid until the next Receive. While take runs, closing the connection waits for it: take must not
// wait for anything.
func (i *Inlet) Receive(take func(p []byte) bool) error {
	if b, ok := i.from.(interface{ Buffered() int }); i.raw == nil || ok && b.Buffered() > 0 {
		return i.receivePlain(take)
	}
	i.take, i.err = take, nil
	if err := i.raw.Read(i.onRead); err != nil {
		return err
	}
	return i.err
}

func (i *Inlet) receivePlain(take func(p []byte) bool) error {
	i.lend()
	n, err := i.from.Read(*i.buf)
	if n > 0 {
		take((*i.buf)[:n])
	}
	return err
}

// readable is the poller's callback.
func (i *Inlet) readable(fd uintptr) bool {
	for {
		i.lend()
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

func (i *Inlet) lend() {
	if i.buf == nil {
		i.buf = tunnelBuffers.Get().(*[]byte)
	}
}

// Rest gives the buffer back.
func (i *Inlet) Rest() {
	if i.buf != nil {
		tunnelBuffers.Put(i.buf)
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
}

// NewOutlet writes to a side.
func NewOutlet(to io.Writer) *Outlet {
	o := &Outlet{Writer: to, raw: rawOf(to)}
	o.onWrite = o.writable
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
	if err == nil && o.errno != 0 && o.errno != syscall.EAGAIN {
		err = o.errno
	}
	return o.n, err
}

func (o *Outlet) writable(fd uintptr) bool {
	o.n, o.errno = rawWrite(int(fd), &o.pieces)
	return true
}
