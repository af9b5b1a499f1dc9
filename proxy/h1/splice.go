package h1

import (
	"errors"
	"io"
	"net/http"
	"os"
	"runtime"
	"syscall"
	"time"
)

// minSplice is from how many bytes on two system calls and a pipe are cheaper than copying.
const minSplice = 32 << 10

// cannotSplice is what kernels and sandboxes say that do not know splice(2), before anything was moved.
func cannotSplice(err error) bool {
	return errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EOPNOTSUPP)
}

// bodyPipe is how much a pipe for a body is to hold: as a rule all that the kernel allows.
const bodyPipe = 1 << 20

// A spliced body goes through a pipe that is ours, and not net.TCPConn's own: a slow reader may need longer for what one
// pipe holds than the stall timeout allows for some progress, and what a write deadline leaves in net's pipe is lost.

// takePipe lends an empty pipe; nil when there is none to be had.
func (s *Server) takePipe() *pipe {
	if p, ok := s.pipes.Get().(*pipe); ok {
		return p
	}
	p := newPipe(bodyPipe)
	if p != nil {
		p.cleanup = runtime.AddCleanup(p, func(ends pipe) { ends.close() }, pipe{r: p.r, w: p.w})
	}
	return p
}

// putPipe takes a pipe back. One that still holds bytes is closed.
func (s *Server) putPipe(p *pipe) {
	if p.held == 0 {
		s.pipes.Put(p)
		return
	}
	p.cleanup.Stop()
	p.close()
}

// take waits for bytes of a socket, up to a limit, until its read deadline. io.EOF is its peer's orderly end.
func (p *pipe) take(from syscall.RawConn, limit int64) (n int, err error) {
	var errno syscall.Errno
	err = from.Read(func(fd uintptr) bool {
		n, errno = p.fill(int(fd), limit)
		return errno != syscall.EAGAIN
	})
	switch {
	case err != nil:
		return 0, err
	case errno != 0:
		return 0, errno
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// give waits until a socket has taken all that the pipe holds, and says how much it took. arm gives it time: who takes
// anything at all in that time gets it anew.
func (p *pipe) give(to syscall.RawConn, arm func() time.Time) (n int64, err error) {
	var errno syscall.Errno
	for p.held > 0 && err == nil {
		before := p.held
		arm()
		err = to.Write(func(fd uintptr) bool {
			for errno = 0; p.held > 0 && errno == 0; {
				errno = p.empty(int(fd))
			}
			return errno != syscall.EAGAIN
		})
		n += int64(before - p.held)
		if err == nil {
			err = failure(errno)
		} else if p.held < before && errors.Is(err, os.ErrDeadlineExceeded) {
			err = nil
		}
	}
	return n, err
}

// ReadFrom copies a response body. What is left of a transport's own body of known length is spliced between the
// sockets. Its error is the writer's, or the body's *Error; a client that went away during a splice is an *Error with
// Client set.
func (w *writer) ReadFrom(r io.Reader) (n int64, err error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	if b, ok := r.(*content); ok && w.canSplice(b) {
		if n, err = w.splice(b); err != nil || b.done {
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
	p := w.conn.server.takePipe()
	if p == nil {
		return n, nil
	}
	defer w.conn.server.putPipe(p)
	l.moved()
	for b.left > 0 {
		m, err := w.spliceOnce(p, l, b)
		n += m
		if err != nil || m == 0 && w.conn.server.copies.Load() {
			return n, err
		}
	}
	b.done = true
	return n, nil
}

// moved begins another wait for the body.
func (l *link) moved() {
	l.heard = time.Now()
	l.waiting, l.late = l.heard, false
}

// spliceOnce moves what is there, or waits until the read deadline wakes it, as every wait for a backend does.
func (w *writer) spliceOnce(p *pipe, l *link, b *content) (int64, error) {
	l.arm(time.Now())
	if err := l.interrupted(); err != nil {
		b.fail(err)
		return 0, b.err
	}
	n, err := p.take(l.raw, b.left)
	switch {
	case err == nil:
	case cannotSplice(err):
		w.conn.server.copies.Store(true)
		return 0, nil
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
	m, err := p.give(w.conn.raw, w.conn.armWrite)
	w.written += m
	if err != nil {
		w.err = err
		b.fail(&Error{Client: Gone, Timeout: errors.Is(err, os.ErrDeadlineExceeded), Err: err})
		return m, b.err
	}
	l.moved()
	return m, nil
}

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
	p := b.conn.server.takePipe()
	if p == nil {
		return 0, nil
	}
	defer b.conn.server.putPipe(p)
	b.conn.armed = time.Time{}
	progress := time.Now()
	for b.left > 0 {
		n, err := b.spliceOnce(p, l, progress)
		total += n
		if err != nil || n == 0 && l.t.copies.Load() {
			return total, err
		}
		if n > 0 {
			progress = time.Now()
		}
	}
	return total, nil
}

// spliceOnce moves what is there, or waits for it for a short while. The client's stall timeout counts over several such
// waits.
func (b *body) spliceOnce(p *pipe, l *link, progress time.Time) (int64, error) {
	b.armLook()
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := p.take(b.conn.raw, b.left)
	switch {
	case err == nil:
	case cannotSplice(err):
		l.t.copies.Store(true)
		return 0, nil
	case errors.Is(err, os.ErrDeadlineExceeded) && (b.conn.server.StallTimeout <= 0 || time.Since(progress) < b.conn.server.StallTimeout):
		b.conn.armed = time.Time{}
		return 0, nil
	default:
		b.err = clientFault(noEOF(err))
		return 0, b.err
	}
	b.left -= int64(n)
	b.done = b.left == 0
	m, err := p.give(l.raw, l.armWrite)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = &Error{Timeout: true, Err: errTimeout}
	}
	return m, err
}

// armLook has the next wait for the client end soon. A deadline that does so already is left.
func (b *body) armLook() {
	if now := time.Now(); b.conn.armed.Sub(now) < slack {
		b.conn.armed = now.Add(nextLook)
		b.conn.c.SetReadDeadline(b.conn.armed)
	}
}
