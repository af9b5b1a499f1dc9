package socket

import (
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// The bytes that a pipe for a body should hold. As a rule the kernel allows
	// no more.
	bodyPipe = 1 << 20
	leastFor = 64 << 10 // the kernel's own size

	// pipeShare of a budget is what one pipe may hold.
	pipeShare = 64

	// mostIdle is how many empty pipes are kept. A pipe is two descriptors, so
	// a burst of bodies must not leave many.
	mostIdle = 32
)

// Pipes are the pipes through which bodies are spliced. The zero value is
// ready. Safe for concurrent use.
//
// The pipes inside net.TCPConn are not used, for two reasons. A slow reader may
// need longer for the content of a pipe than the stall timeout allows without
// progress. And what a write deadline leaves in such a pipe is lost.
type Pipes struct {
	Budget *Budget // a pipe in use takes its memory from it; nil is no bound
	Most   int     // pipes in use at a time, because each is two descriptors; 0 is no bound

	splicing splicing
	inUse    atomic.Int32

	mu   sync.Mutex
	idle []*Pipe // empty ones, at most mostIdle
}

// take returns an empty pipe, or nil.
func (l *Pipes) take() *Pipe {
	if n := l.inUse.Add(1); l.Most > 0 && int(n) > l.Most || !l.Budget.Take(l.size(), Optional) {
		l.inUse.Add(-1)
		return nil
	}

	if p := l.takeIdle(); p != nil {
		return p
	}

	p := newPipe(int(l.size()), &l.splicing)
	if p == nil {
		l.gone()
		return nil
	}

	p.cleanup = runtime.AddCleanup(p, func(ends Pipe) { ends.close() }, Pipe{r: p.r, w: p.w})
	return p
}

// put takes back a pipe. It closes a pipe that still holds bytes, one that
// could not be spliced from, and one too many.
func (l *Pipes) put(p *Pipe) {
	l.gone()
	if p.held == 0 && !p.copies && l.putIdle(p) {
		return
	}

	p.cleanup.Stop()
	p.close()
}

// takeIdle returns the pipe that became idle last, or nil.
func (l *Pipes) takeIdle() *Pipe {
	l.mu.Lock()
	defer l.mu.Unlock()

	last := len(l.idle) - 1
	if last < 0 {
		return nil
	}

	p := l.idle[last]
	l.idle[last] = nil
	l.idle = l.idle[:last]

	return p
}

// putIdle keeps an empty pipe. It reports false if enough are kept.
func (l *Pipes) putIdle(p *Pipe) bool {
	l.mu.Lock()
	defer l.mu.Unlock()

	if len(l.idle) >= mostIdle {
		return false
	}

	l.idle = append(l.idle, p)

	return true
}

func (l *Pipes) gone() {
	l.inUse.Add(-1)
	l.Budget.Give(l.size())
}

// size returns how many bytes a pipe should hold: a power of two, because the
// kernel rounds to one.
func (l *Pipes) size() int64 {
	share := l.Budget.Limit() / pipeShare
	if share == 0 || share >= bodyPipe {
		return bodyPipe
	}
	return max(leastFor, int64(1)<<(bits.Len64(uint64(share))-1))
}

// Lease is the use of one pipe at a time by one body. It has a pipe only while
// bytes are in transit: thousands of bodies may wait for bytes, and none of
// these has one. The zero value has no pipes. It belongs to one goroutine.
type Lease struct {
	pipes *Pipes
	pipe  *Pipe // nil while nothing is in transit
}

// Lease starts to use the pipes.
func (l *Pipes) Lease() Lease { return Lease{pipes: l} }

// Ready reports whether Fill may work. The first call in a process takes a few
// milliseconds, for a check of splice(2).
func (l *Lease) Ready() bool { return l.pipes != nil && l.pipes.splicing.usable() }

// Fill waits for up to limit bytes of a socket, until its read deadline. The
// error is io.EOF if the peer has ended. After ErrCopy there may be bytes,
// which have to be copied.
func (l *Lease) Fill(from syscall.RawConn, limit int64) (n int, err error) {
	waited := from.Read(func(fd uintptr) bool {
		if l.pipe == nil {
			l.pipe = l.pipes.take()
		}

		if l.pipe == nil {
			err = ErrCopy
			return true
		}

		if n, err = l.pipe.fillNow(int(fd), limit); err == syscall.EAGAIN {
			l.Close()
			return false
		}

		return true
	})
	if waited != nil {
		return 0, waited
	}

	return n, err
}

// Drain waits until a socket has taken all that was filled in, and returns how
// many bytes it took. It calls arm to set a time limit, and again after each
// progress.
func (l *Lease) Drain(to syscall.RawConn, arm func() time.Time) (n int64, err error) {
	return l.pipe.drain(to, arm)
}

// Close gives the pipe back.
func (l *Lease) Close() {
	if l.pipe != nil {
		l.pipes.put(l.pipe)
		l.pipe = nil
	}
}
