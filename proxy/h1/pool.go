package h1

import (
	"net/http"
	"time"
)

// young is how long a pooled connection is believed to be as it was left. Up to then a request that may be repeated
// goes out without a look at it, unless the last response had a head only: what a confused backend sends behind that would
// answer the next request.
const young = 10 * time.Millisecond

// take is the pooled connection that was used last and is still good, or a new one.
func (t *Transport) take(r *http.Request, c *Call, dial bool) (*link, error) {
	now := later(c.Began)
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions
	for !dial {
		l := t.pop()
		if l == nil {
			break
		}
		age := now.Sub(l.since)
		if age < l.keep && (age < young && safe && !l.wary && !t.disappointed(now) || l.look() == silent) {
			l.reused, c.Reused, l.heard = true, true, now
			return l, nil
		}
		l.c.Close()
	}
	c.Reused = false
	return t.dial(r, c)
}

// caution is for how long every pooled connection is looked at after one was dead that nobody had looked at: its backend
// closes connections without saying so, and will do it again.
const caution = 10 * time.Second

// disappointed reports whether a request went out on a dead connection lately.
func (t *Transport) disappointed(now time.Time) bool {
	return now.UnixNano()-t.failed.Load() < int64(caution)
}

func (t *Transport) pop() *link {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.idle)
	if n == 0 {
		return nil
	}
	l := t.idle[n-1]
	t.idle[n-1] = nil
	t.idle = t.idle[:n-1]
	return l
}

// put returns a connection, unless CloseIdle was called since it was made.
func (t *Transport) put(l *link) {
	l.since = l.heard
	t.mu.Lock()
	defer t.mu.Unlock()
	if l.generation != t.generation {
		l.c.Close()
		return
	}
	t.idle = append(t.idle, l)
	if !t.sweeping {
		t.sweepIn(l.keep)
	}
}

// sweepIn is called with the lock held.
func (t *Transport) sweepIn(d time.Duration) {
	t.sweeping = true
	if t.sweeper == nil {
		t.sweeper = time.AfterFunc(d, t.sweep)
		return
	}
	t.sweeper.Reset(d)
}

// sweep closes connections that idled for too long. It runs as a timer while there are pooled connections, and take does
// not rely on it: a platform that stops the CPU stops timers.
func (t *Transport) sweep() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	next := time.Duration(0)
	kept := t.idle[:0]
	for _, l := range t.idle {
		left := l.keep - now.Sub(l.since)
		if left <= 0 {
			l.c.Close()
			continue
		}
		if next == 0 || left < next {
			next = left
		}
		kept = append(kept, l)
	}
	clear(t.idle[len(kept):])
	t.idle = kept
	t.sweeping = false
	if len(kept) > 0 {
		t.sweepIn(next)
	}
}

// Idle is the number of pooled connections.
func (t *Transport) Idle() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.idle)
}

// CloseIdle closes the pooled connections. Exchanges in progress go on, and their connections are closed when they end.
func (t *Transport) CloseIdle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.generation++
	for _, l := range t.idle {
		l.c.Close()
	}
	clear(t.idle)
	t.idle = t.idle[:0]
	if t.sweeper != nil {
		t.sweeper.Stop()
	}
	t.sweeping = false
}

// idleTimeout is how long a connection may idle that never heard of a Keep-Alive.
func (t *Transport) idleTimeout() time.Duration {
	switch {
	case t.IdleTimeout > 0:
		return t.IdleTimeout
	case t.TLS != nil:
		return 90 * time.Second
	}
	return 4 * time.Second
}
