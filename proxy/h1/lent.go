package h1

import (
	"sync"
	"sync/atomic"
)

const (
	smallLoan = 16 << 10  // also a TLS record
	largeLoan = 128 << 10 // a busy connection's receive buffer: fewer and larger writes wake the other side less often
	maxLoans  = 32        // of large buffers, and of pipes, at a time
	keptPipes = 4         // that nobody uses

	tunnelPipe = 256 << 10 // bytes that one is to hold
)

// Loans are buffers and pipes for the tunnels of a process. A tunnel has one only while bytes are on their way through it,
// so an idle one has none, and those that wait for a slow reader have large ones only while they are few. The zero value is
// ready. Safe for concurrent use.
type Loans struct {
	small, large sync.Pool
	lent         atomic.Int32 // large ones

	mu    sync.Mutex
	free  []*pipe
	pipes int // free or not
}

// take lends a large buffer, or a small one when that will do or too many large ones are out.
func (l *Loans) take(large bool) *[]byte {
	pool, size := &l.small, smallLoan
	if large {
		if l.lent.Add(1) <= maxLoans {
			pool, size = &l.large, largeLoan
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

// put takes a buffer back.
func (l *Loans) put(b *[]byte) {
	if len(*b) == smallLoan {
		l.small.Put(b)
		return
	}
	l.lent.Add(-1)
	l.large.Put(b)
}

// takePipe lends an empty pipe; nil when there is none.
func (l *Loans) takePipe() *pipe {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.free); n > 0 {
		p := l.free[n-1]
		l.free = l.free[:n-1]
		return p
	}
	if l.pipes >= maxLoans {
		return nil
	}
	p := newPipe(tunnelPipe)
	if p != nil {
		l.pipes++
	}
	return p
}

// putPipe takes a pipe back. One that still holds bytes is closed.
func (l *Loans) putPipe(p *pipe) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.held == 0 && len(l.free) < keptPipes {
		l.free = append(l.free, p)
		return
	}
	l.pipes--
	p.close()
}
