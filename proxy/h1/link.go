package h1

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// link is one connection to the endpoint, with all that an exchange on it needs. It belongs to the goroutine that took
// it from the pool or dialled it; only an upload works beside that, and is joined before the link is anybody else's.
//
// As on the client's side, the exchange begins inside the callback of RawConn.Read: the poller is reset, the request is
// written, and the callback returns false to wait for the answer, without a read that could only say EAGAIN. A backend
// says nothing before it is asked; what it says all the same is seen when the connection is taken.
type link struct {
	t          *Transport
	c          net.Conn
	raw        syscall.RawConn // nil: not clear-text TCP
	onRead     func(fd uintptr) bool
	in         input
	out        []byte
	inline     []byte // body bytes that go with the head
	own        *body  // whose bytes those are
	head       block
	generation int
	since      time.Time // pooled since
	keep       time.Duration
	reused     bool
	wary       bool // the last response had no body
	unsendable bool // the request, not the connection, is to blame

	// The exchange in progress.
	request  *http.Request
	call     *Call
	client   *conn           // watched while we wait; nil: not ours, or nothing more to see
	writer   *writer         // of such a client
	flushAt  time.Time       // it is flushed then
	context  context.Context // of a foreign client
	release  func() bool
	phase    Phase
	writing  bool // out is to be written before anything is read
	accepted int  // bytes of out and inline that the kernel took
	up       *upload
	holdTo   time.Time // an upload waits for a 100 until then
	waiting  time.Time // since when
	heard    time.Time // when we took the link, or the last bytes came
	armed    time.Time // the read deadline
	late     bool      // the limit has passed: what is in the kernel by now still counts
	stalls   bool      // the stall timeout holds
	failure  error     // what a wake decided

	// Between a read and the callback.
	dst []byte
	n   int
	err error
}

func (t *Transport) newLink(c net.Conn) *link {
	l := &link{t: t, c: c, raw: poller(c), keep: t.idleTimeout()}
	t.mu.Lock()
	l.generation = t.generation
	t.mu.Unlock()
	l.in.from = l
	l.in.buf = make([]byte, firstBuffer)
	if l.raw != nil {
		l.onRead = l.step
	}
	return l
}

// look is what an idle connection would say to a read. Under TLS anything readable ends it.
func (l *link) look() peek {
	raw := l.raw
	if raw == nil {
		if raw = poller(netConn(l.c)); raw == nil {
			return silent
		}
	}
	p := broken
	raw.Control(func(fd uintptr) { p = rawPeek(int(fd)) })
	return p
}

// step is the poller's callback: it writes the request if that is still to be done, and reads when it is called again.
func (l *link) step(fd uintptr) bool {
	if l.writing {
		l.writing = false
		n, errno := rawWrite(int(fd), &[3][]byte{l.out, l.inline})
		if errno != 0 && errno != syscall.EAGAIN {
			l.err = errno
			return true
		}
		return !l.wrote(n, l.heard) || l.up != nil
	}
	n, errno := rawRead(int(fd), l.dst)
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

// wrote notes what the kernel took of the request by then, and says whether that was all of it.
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

// receive is the source of the response, head and body. It wakes now and then to look at the clock and at the client.
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
		if n > 0 && l.phase == Body {
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

// read waits for bytes once. A request that the kernel did not take at once is left to an upload.
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

// writePlain is the write of a connection that has no poller of ours.
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
		n = max(n, 1) // a record may have left in part
	}
	if l.wrote(n, time.Now()) && l.up != nil {
		l.uploadRest()
	}
	return err
}

// armWrite gives a write the stall timeout, and says when that is; zero is never.
func (l *link) armWrite() (end time.Time) {
	if l.t.StallTimeout > 0 {
		end = time.Now().Add(l.t.StallTimeout)
		l.c.SetWriteDeadline(end)
	}
	return end
}

// slack is how near an old deadline may be and still be left as it is.
const slack = firstLook / 2

// arm sees to it that we wake about firstLook from now. A deadline that an earlier exchange left is as good as a new one,
// so a busy connection sets one only now and then.
func (l *link) arm(now time.Time) {
	limit := l.limit()
	if l.armed.Sub(now) > slack && (limit.IsZero() || !l.armed.After(limit)) {
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
