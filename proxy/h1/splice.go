package h1

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// minSplice is from how many bytes on two system calls and a pipe are cheaper than copying.
const minSplice = 32 << 10

// cannotSplice is what kernels and sandboxes say that do not know splice(2), before anything was moved.
func cannotSplice(err error) bool {
	return errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EOPNOTSUPP)
}

// move lets the kernel move up to left bytes between two sockets until the source's read deadline. It says how many
// arrived. A nil error with fewer bytes means that the source is at its end.
func move(dst, src net.Conn, left int64) (int64, error) {
	return dst.(*net.TCPConn).ReadFrom(&io.LimitedReader{R: src, N: left})
}

// dead says that a socket has failed. The one that has not is then not to blame for an error between two of them.
func dead(raw syscall.RawConn) bool {
	gone := true
	raw.Control(func(fd uintptr) { gone = socketDead(int(fd)) })
	return gone
}

// ReadFrom copies a response body. What is left of a transport's own body of known length is spliced between the
// sockets. Its error is the writer's, or the body's *Error; a client that went away during a splice is an *Error with
// Client set.
func (w *writer) ReadFrom(r io.Reader) (n int64, err error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	if b, ok := r.(*content); ok && w.canSplice(b) {
		n, err = w.splice(b)
		if !w.conn.server.copies.Load() || err != nil {
			return n, err
		}
	}
	buf := make([]byte, 32<<10)
	for {
		m, rerr := r.Read(buf)
		if m > 0 {
			k, err := w.Write(buf[:m])
			n += int64(k)
			if err != nil {
				return n, err
			}
		}
		if rerr == io.EOF {
			return n, nil
		}
		if rerr != nil {
			return n, rerr
		}
	}
}

func (w *writer) canSplice(b *content) bool {
	return b.framing == byLength && !b.done && b.err == nil && b.l != nil && b.l.raw != nil && b.left >= minSplice &&
		w.conn.raw != nil && w.err == nil && w.committed && !w.bodyless && !w.chunked &&
		w.length-w.written >= b.left && !w.conn.server.copies.Load()
}

// splice writes what is buffered, and then has the kernel move the rest. It returns nil with less than the rest only
// when the kernel cannot.
func (w *writer) splice(b *content) (n int64, err error) {
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
	for b.left > 0 {
		m, err := w.spliceOnce(l, b)
		n += m
		if err != nil || m == 0 && w.conn.server.copies.Load() {
			return n, err
		}
	}
	b.done = true
	return n, nil
}

// spliceOnce moves bytes until the read deadline wakes it, as every wait for a backend does.
func (w *writer) spliceOnce(l *link, b *content) (int64, error) {
	l.waiting = time.Now()
	l.heard = l.waiting
	l.arm(l.waiting)
	if err := l.interrupted(); err != nil {
		b.fail(err)
		return 0, b.err
	}
	stalled := w.conn.armWrite()
	n, err := move(w.conn.c, l.c, b.left)
	b.left -= n
	w.written += n
	switch {
	case err == nil && b.left > 0:
		b.fail(io.ErrUnexpectedEOF)
		return n, b.err
	case err == nil:
		return n, nil
	case n == 0 && cannotSplice(err):
		w.conn.server.copies.Store(true)
		return 0, nil
	case errors.Is(err, os.ErrDeadlineExceeded) && (stalled.IsZero() || time.Now().Before(stalled)):
		return n, w.spliceLater(l, b, n)
	case dead(l.raw) && !errors.Is(err, os.ErrDeadlineExceeded):
		b.fail(err)
		return n, b.err
	}
	w.err = err
	b.fail(&Error{Client: Gone, Timeout: errors.Is(err, os.ErrDeadlineExceeded), Err: err})
	return n, b.err
}

// spliceLater is what happens at a wake: with progress the wait begins anew.
func (w *writer) spliceLater(l *link, b *content, n int64) error {
	if n > 0 {
		l.waiting = time.Now()
	}
	if err := l.wake(); err != nil {
		b.fail(err)
		return b.err
	}
	return nil
}

// errLost is for a body of which some bytes had left the client's socket when the backend's failed. Nobody knows how many,
// so where this request ends and the next begins is not known either: the connection carries no other.
var errLost = errors.New("bytes of the body were lost on their way")

// splice moves what is left of the client's body, once nothing of it is buffered. 0 and no error means that it has to be
// copied.
func (u *upload) splice(left int64) (int64, error) {
	b, ok := u.body.(*body)
	if !ok || left < minSplice || u.l.raw == nil || u.l.t.copies.Load() {
		return 0, nil
	}
	return b.spliceTo(u.l)
}

// spliceTo is Read and write in one, for an upload.
func (b *body) spliceTo(l *link) (total int64, _ error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.framing != byLength || b.done || b.err != nil || b.conn.raw == nil || b.in.buffered() > 0 {
		return 0, nil
	}
	if b.expects && !b.conn.x.writer.proceed() {
		return 0, errNotAsked
	}
	progress := time.Now()
	for b.left > 0 {
		n, err := b.spliceOnce(l, progress)
		total += n
		if err != nil || n == 0 && l.t.copies.Load() {
			return total, err
		}
		if n > 0 {
			progress = time.Now()
		}
	}
	b.done = true
	return total, nil
}

// spliceOnce moves bytes for a short while. The client's stall timeout counts over several of them, so that the read
// deadline comes before the write deadline and the two cannot be confused: a write that was given up has lost bytes.
func (b *body) spliceOnce(l *link, progress time.Time) (int64, error) {
	b.conn.armed = time.Time{}
	b.conn.c.SetReadDeadline(time.Now().Add(nextLook))
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	stalled := l.armWrite()
	n, err := move(l.c, b.conn.c, b.left)
	b.left -= n
	switch {
	case err == nil && b.left > 0:
		b.err = clientFault(io.ErrUnexpectedEOF)
		return n, b.err
	case err == nil:
		return n, nil
	case n == 0 && cannotSplice(err):
		l.t.copies.Store(true)
		return 0, nil
	case !errors.Is(err, os.ErrDeadlineExceeded):
		b.err = errLost
		if dead(b.conn.raw) {
			b.err = clientFault(err)
			return n, b.err
		}
		return n, err
	case !stalled.IsZero() && !time.Now().Before(stalled):
		b.err = errLost
		return n, &Error{Timeout: true, Err: errTimeout}
	case n == 0 && b.conn.server.StallTimeout > 0 && time.Since(progress) >= b.conn.server.StallTimeout:
		b.err = clientFault(err)
		return 0, b.err
	}
	return n, nil
}
