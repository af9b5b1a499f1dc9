package socket

import (
	"sync"
	"sync/atomic"
)

const (
	smallBuffer = 16 << 10 // also a TLS record
	// The receive buffer of a busy connection. Fewer and larger writes wake the
	// other side less often.
	largeBuffer = 128 << 10
	maxLarge    = 32 // large buffers, and pipes, in use at a time
	keptPipes   = 4  // pipes kept for reuse

	tunnelPipe = 256 << 10 // bytes that a pipe should hold
)

// Buffers are buffers and pipes for the tunnels of a process. A tunnel has one
// only while bytes are in transit, so an idle tunnel has none. The number of
// large ones is bounded. The zero value is ready. Safe for concurrent use.
type Buffers struct {
	small, large sync.Pool
	lent         atomic.Int32 // large buffers in use

	splicing splicing

	mu    sync.Mutex
	free  []*Pipe
	pipes int // free or in use
}

// take returns a large buffer, or a small one if that is enough or too many
// large ones are in use.
func (l *Buffers) take(large bool) *[]byte {
	pool, size := &l.small, smallBuffer
	if large {
		if l.lent.Add(1) <= maxLarge {
			pool, size = &l.large, largeBuffer
		} else {
			l.lent.Add(-1)
		}
	}

	if b, ok := pool.Get().(*[]byte); ok {
		return b
	}

	b := make([]byte, size)
	return &b
}

// put returns a buffer.
func (l *Buffers) put(b *[]byte) {
	if len(*b) == smallBuffer {
		l.small.Put(b)
		return
	}
	l.lent.Add(-1)
	l.large.Put(b)
}

// takePipe returns an empty pipe, or nil.
func (l *Buffers) takePipe() *Pipe {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.free); n > 0 {
		p := l.free[n-1]
		l.free = l.free[:n-1]
		return p
	}

	if l.pipes >= maxLarge {
		return nil
	}

	p := newPipe(tunnelPipe, &l.splicing)
	if p != nil {
		l.pipes++
	}

	return p
}

// putPipe returns a pipe. It closes a pipe that still holds bytes, and one that
// could not be spliced from.
func (l *Buffers) putPipe(p *Pipe) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.held == 0 && !p.copies && len(l.free) < keptPipes {
		l.free = append(l.free, p)
		return
	}

	l.pipes--
	p.close()
}
