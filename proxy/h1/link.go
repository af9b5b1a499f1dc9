package h1

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// link is one connection to the endpoint, with everything that a transaction on
// it needs. It belongs to the goroutine that took it from the pool or dialled
// it. Only an upload works beside that goroutine, and it has ended before
// another transaction uses the link.
//
// As for a client's connection, the transaction begins inside the callback of
// RawConn.Read: the poller is reset, the request is written, and the callback
// returns false to wait for the answer, without a read that returns EAGAIN. A
// backend sends nothing before it is asked. If it does, that is noticed when
// the link is taken from the pool.
type link struct {
	t          *Transport
	c          net.Conn
	raw        syscall.RawConn // nil if it is not clear-text TCP
	onRead     func(fd uintptr) bool
	in         input
	out        []byte
	inline     []byte // body bytes that are sent with the head
	own        *body  // the body that inline is a part of
	head       block
	generation int
	since      time.Time // when it was put into the pool
	keep       time.Duration
	reused     bool
	closed     atomic.Bool
	plain      bool  // the last transaction left nothing to look for: see wasPlain
	uses       int64 // requests that were answered
	before     int64 // bytes written for earlier transactions
	unsendable bool  // the request is at fault, not the connection
	inlined    bool  // the body was read into out

	// Fields of the transaction in progress.
	request *http.Request
	call    *wire.Call
	// watched during waits; nil if it is not of this package or can't show more
	client   *conn
	writer   *writer            // of such a client
	flushAt  time.Time          // when to flush it
	shared   wire.SharedContext // other requests may want the answer too; nil if they can't
	context  context.Context    // of a client that is not of this package
	release  func() bool
	phase    wire.Phase
	writing  bool // out has to be written before the first read
	accepted int  // bytes of out and inline that the kernel took
	up       *upload
	holdTo   time.Time // until when an upload waits for a 100
	waiting  time.Time // start of the wait
	heard    time.Time // when the link was taken, or the last bytes came
	armed    time.Time // the read deadline
	late     bool      // the limit has passed, but bytes that have come still count
	stalls   bool      // the stall timeout applies
	failure  error     // the decision of a wake

	// What follows is passed between a read and its callback.
	dst []byte
	n   int
	err error

	probe [1]byte // memory for ahead
}

func (t *Transport) newLink(c net.Conn) *link {
	l := &link{t: t, c: c, raw: socket.Raw(c), keep: t.idleTimeout()}
	t.mu.Lock()
	l.generation = t.generation
	t.mu.Unlock()
	l.in.from, l.in.budget = l, t.Budget
	l.in.buf = make([]byte, firstBuffer)
	if l.raw != nil {
		l.onRead = l.step
	}

	return l
}

// close closes the connection and gives its memory back.
func (l *link) close() error {
	if !l.closed.Swap(true) {
		l.t.Budget.Give(LinkMemory)
	}
	return l.c.Close()
}

// look returns what a read of an idle connection would find. Under TLS,
// everything that is readable means that the connection is not usable.
func (l *link) look() socket.Readiness {
	raw := l.raw
	if raw == nil {
		if raw = socket.Raw(netConn(l.c)); raw == nil {
			return socket.Silent
		}
	}

	p := socket.Broken
	raw.Control(func(fd uintptr) { p = socket.Peek(int(fd)) })
	return p
}

// ahead reports whether a TLS connection holds bytes that the socket does not
// show any more. crypto/tls reads as much as there is, so what follows an
// answer in a record of its own may be in its memory. A read that must not
// wait finds it, or that the connection has ended.
func (l *link) ahead() bool {
	l.c.SetReadDeadline(past)
	n, err := l.c.Read(l.probe[:])
	l.c.SetReadDeadline(time.Time{})
	l.armed = time.Time{}

	return n > 0 || !errors.Is(err, os.ErrDeadlineExceeded)
}

// step is the poller's callback. It writes the request if that was not done,
// and reads when it is called again.
func (l *link) step(fd uintptr) bool {
	if l.writing {
		l.writing = false
		n, errno := socket.Send(int(fd), &[3][]byte{l.out, l.inline})
		if errno != 0 && errno != syscall.EAGAIN {
			l.err = errno
			return true
		}

		return !l.wrote(n, l.heard) || l.up != nil
	}

	n, errno := socket.Recv(int(fd), l.dst)
	switch {
	case errno == syscall.EAGAIN:
		return false
	case errno != 0:
		l.err = errno
	case n == 0:
		l.err = io.EOF
	default:
		l.n = n
	}

	return true
}

// wrote notes how much of the request the kernel took, and reports whether that
// was all.
func (l *link) wrote(n int, then time.Time) bool {
	l.accepted += n
	if l.accepted < len(l.out)+len(l.inline) {
		return false
	}
	if l.up == nil {
		l.call.Written = then
	}

	return true
}

// receive is the source of the response. It wakes from time to time to look at
// the clock and at the client.
func (l *link) receive(p []byte) (int, error) {
	l.dst = p
	if l.waiting = l.heard; !l.writing {
		l.waiting = time.Now()
	}

	l.late = false
	l.pending()
	l.arm(l.waiting)

	for {
		if err := l.interrupted(); err != nil {
			return 0, err
		}

		n, err := l.read()
		if n > 0 && l.phase == wire.Body {
			l.heard = time.Now()
		}
		if n > 0 || err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}

		if err := l.wake(); err != nil {
			return 0, err
		}
	}
}

// read waits for bytes once. What the kernel did not take of the request is
// left to an upload.
func (l *link) read() (int, error) {
	for {
		l.n, l.err = 0, nil
		if l.raw == nil {
			if err := l.writePlain(); err != nil {
				return 0, err
			}
			return l.c.Read(l.dst)
		}

		if err := l.raw.Read(l.onRead); err != nil {
			return 0, err
		}
		if l.n > 0 || l.err != nil {
			return l.n, l.err
		}

		l.uploadRest()
	}
}

// writePlain writes the request to a connection that is not clear-text TCP.
func (l *link) writePlain() error {
	if !l.writing {
		return nil
	}

	l.writing = false
	out := l.out
	if len(l.inline) > 0 {
		out = append(out, l.inline...)
		l.out, l.inline = out, nil
	}

	l.armWrite()
	n, err := l.c.Write(out)
	if err != nil {
		n = max(n, 1) // a TLS record may have been sent in part
	}

	if l.wrote(n, time.Now()) && l.up != nil {
		l.uploadRest()
	}

	return err
}

// armWrite gives a write the stall timeout and returns when that is; zero is
// never.
func (l *link) armWrite() (end time.Time) {
	if l.t.StallTimeout > 0 {
		end = time.Now().Add(l.t.StallTimeout)
		l.c.SetWriteDeadline(end)
	}
	return end
}

// deadlineSlack is how far an old deadline may be from the wanted one and still
// be kept.
const deadlineSlack = firstLook / 2

// arm sets the read deadline to about firstLook from now. A deadline of an
// earlier transaction that is near enough is kept, so that a busy connection
// rarely sets one.
func (l *link) arm(now time.Time) {
	limit := l.limit()
	if l.armed.Sub(now) > deadlineSlack && (limit.IsZero() || !l.armed.After(limit)) {
		return
	}
	l.armAt(now.Add(2*firstLook), limit)
}

func (l *link) armAt(next, limit time.Time) {
	if !limit.IsZero() && limit.Before(next) {
		next = limit
	}
	l.armed = next
	l.c.SetReadDeadline(next)
}
