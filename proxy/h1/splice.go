package h1

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// minSplice is the number of bytes from which on two system calls and a pipe
// are cheaper than copying.
const minSplice = 32 << 10

// ReadFrom copies a response body. If it is a body of this package's transport
// with a known length, the rest is spliced between the sockets. The error is
// the writer's, or the body's *wire.Error. If the client left during a splice,
// it is a *wire.Error with Client set.
func (w *writer) ReadFrom(r io.Reader) (n int64, err error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}

	if b, ok := r.(*content); ok && w.canSplice(b) {
		if n, err = w.splice(b); err != nil || b.done {
			return n, err
		}
	}

	if f, ok := r.(*wire.FilePart); ok && w.canSendFile(f) {
		if n, err = w.sendFile(f); err != nil {
			return n, err
		}
	}

	m, err := w.copyFrom(r)
	return n + m, err
}

func (w *writer) canSplice(b *content) bool {
	return b.framing == byLength && !b.done && b.err == nil &&
		b.l != nil && b.l.raw != nil && b.left >= minSplice &&
		w.conn.raw != nil && w.err == nil && w.headWritten &&
		!w.bodyless &&
		!w.chunked &&
		w.length-w.written >= b.left
}

// splice writes what is buffered, and has the kernel move the rest. If the
// kernel can't, it returns nil after fewer bytes, and the rest has to be
// copied.
func (w *writer) splice(b *content) (n int64, err error) {
	p := w.conn.server.pipes.Lease()
	if !p.Ready() {
		return 0, nil
	}
	defer p.Close()

	l := b.l
	if b.in.buffered() > 0 {
		p := b.in.bytes()[:min(int64(b.in.buffered()), b.left)]
		b.in.skip(len(p))
		b.left -= int64(len(p))
		n += int64(len(p))
		w.written += n
		if err := w.data(p); err != nil {
			return n, err
		}
	}

	if err := w.FlushError(); err != nil {
		return n, err
	}

	l.moved()
	for b.left > 0 {
		m, err := w.spliceOnce(&p, l, b)
		n += m
		switch err {
		case nil:
		case socket.ErrCopy:
			return n, nil
		default:
			return n, err
		}
	}

	b.done = true
	return n, nil
}

// moved starts a new wait for the body.
func (l *link) moved() {
	l.heard = time.Now()
	l.waiting, l.late = l.heard, false
}

// spliceOnce moves the bytes that have come, or waits until the read deadline
// wakes it.
func (w *writer) spliceOnce(p *socket.Lease, l *link, b *content) (int64, error) {
	l.arm(time.Now())
	if err := l.interrupted(); err != nil {
		b.fail(err)
		return 0, b.err
	}

	n, err := p.Fill(l.raw, b.left)
	switch {
	case err == nil:
	case err == socket.ErrCopy:
		return 0, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		if err = l.wake(); err == nil {
			return 0, nil
		}
		fallthrough
	default:
		b.fail(noEOF(err))
		return 0, b.err
	}

	b.left -= int64(n)
	m, err := p.Drain(w.conn.raw, w.conn.armWrite)
	w.conn.awaits.write.Store(0)
	w.written += m
	if err != nil {
		w.err = err
		b.fail(
			&wire.Error{
				Client:  wire.Gone,
				Timeout: errors.Is(err, os.ErrDeadlineExceeded),
				Err:     err,
			},
		)
		return m, b.err
	}

	l.moved()
	return m, nil
}

// splice moves the rest of the client's body when none of it is buffered any
// more. If it returns 0 without an error, the body has to be copied.
func (u *upload) splice(left int64) (int64, error) {
	b, ok := u.body.(*body)
	if !ok || left < minSplice || u.l.raw == nil {
		return 0, nil
	}
	return b.spliceTo(u.l)
}

// spliceTo moves the client's body to a backend's socket, for an upload.
func (b *body) spliceTo(l *link) (total int64, _ error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.framing != byLength || b.done || b.err != nil || b.conn.raw == nil || b.in.buffered() > 0 {
		return 0, nil
	}

	if b.expects && !b.conn.x.writer.sendContinue() {
		return 0, errNotAsked
	}

	p := b.conn.server.pipes.Lease()
	if !p.Ready() {
		return 0, nil
	}
	defer p.Close()
	defer b.conn.awaits.read.Store(0)
	b.conn.armed = time.Time{}

	progress := time.Now()
	for b.left > 0 {
		n, err := b.spliceOnce(&p, l, progress)
		total += n
		switch {
		case err == socket.ErrCopy:
			return total, nil
		case err != nil:
			return total, err
		case n > 0:
			progress = time.Now()
		}
	}

	return total, nil
}

// spliceOnce moves the bytes that have come, or waits for a short while. The
// client's stall timeout counts over several such waits.
func (b *body) spliceOnce(p *socket.Lease, l *link, progress time.Time) (int64, error) {
	b.armLook()
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}

	b.conn.awaits.read.Store(progress.UnixNano())
	n, err := p.Fill(b.conn.raw, b.left)
	switch {
	case err == nil:
		b.conn.awaits.read.Store(0)
	case err == socket.ErrCopy:
		return 0, err
	case errors.Is(err, os.ErrDeadlineExceeded) &&
		(b.conn.server.StallTimeout <= 0 || time.Since(progress) < b.conn.server.StallTimeout ||
			b.conn.unread()):
		b.conn.armed = time.Time{}
		return 0, nil
	default:
		b.err = clientFault(noEOF(err))
		return 0, b.err
	}

	b.left -= int64(n)
	b.done = b.left == 0
	m, err := p.Drain(l.raw, l.armWrite)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = &wire.Error{Timeout: true, Err: errTimeout}
	}

	return m, err
}

// armLook makes the next wait for the client end soon. A deadline that is soon
// enough is kept.
func (b *body) armLook() {
	if now := time.Now(); b.conn.armed.Sub(now) < deadlineSlack {
		b.conn.armed = now.Add(nextLook)
		b.conn.c.SetReadDeadline(b.conn.armed)
	}
}
