package h1

import (
	"net/http"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// freshFor is how long a pooled connection may be used without a look at it, if
// nothing can have come: see believed. A look is one system call.
const freshFor = 10 * time.Millisecond

// take returns the most recently used connection that is still usable, or a new
// one.
func (t *Transport) take(r *http.Request, c *wire.Call, dial bool) (*link, error) {
	now := later(c.Began)
	for !dial {
		l := t.pop()
		if l == nil {
			break
		}

		if now.Sub(l.since) < l.keep {
			if l.usable(r, now) {
				l.reused, c.Reused, l.heard = true, true, later(now)
				return l, nil
			}

			l.ended(now)
		}

		l.close()
	}

	c.Reused = false
	return t.dial(r, c)
}

// usable reports whether nothing has happened to a pooled connection.
func (l *link) usable(r *http.Request, now time.Time) bool {
	if l.restless(r) {
		return l.rest(now)
	}
	if l.raw == nil && l.ahead() {
		return false
	}

	return l.believed(r, now) || l.look() == socket.Silent
}

// believed reports whether a pooled connection may be used without a look. If a
// backend sends more than its answer, the rest would become the answer to the
// next request, which may be another client's. So the look is omitted only
// after a request that no backend can take for two, and before a request that
// can be repeated if the connection turns out to be dead.
func (l *link) believed(r *http.Request, now time.Time) bool {
	return l.plain && safe(r) && now.Sub(l.since) < freshFor && !l.t.recentlyStale(now)
}

// wasPlain reports whether nothing more can follow on the connection after the
// transaction: a GET without a body, and an answer that has a body and says
// where it ends. A backend that takes a body for a second request answers
// twice, and one that sends a body after a HEAD, a 204 or a 304 sends more than
// its answer.
func wasPlain(r *http.Request, f framing) bool {
	return r.Method == http.MethodGet && r.ContentLength == 0 && (f == byLength || f == byChunks)
}

// suspectFor is how long every pooled connection is looked at, after one that
// was not looked at turned out to be dead. The backend closes connections
// without announcing it, and will do so again.
const suspectFor = 10 * time.Second

// recentlyStale reports whether a request was recently sent on a dead
// connection.
func (t *Transport) recentlyStale(now time.Time) bool {
	return now.UnixNano()-t.failed.Load() < int64(suspectFor)
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

// put returns a connection to the pool, unless CloseIdle was called since it
// was made.
func (t *Transport) put(l *link) {
	l.since = l.heard
	l.uses++
	t.mu.Lock()
	defer t.mu.Unlock()
	if l.generation != t.generation {
		l.close()
		return
	}

	t.idle = append(t.idle, l)
	if !t.sweeping {
		t.sweepIn(l.keep)
	}
}

// sweepIn starts the timer for sweep. The caller holds the lock.
func (t *Transport) sweepIn(d time.Duration) {
	t.sweeping = true
	if t.sweeper == nil {
		t.sweeper = time.AfterFunc(d, t.sweep)
		return
	}
	t.sweeper.Reset(d)
}

// sweep closes connections that were idle for too long. A timer runs it while
// there are pooled connections. take does not rely on it, because a platform
// that stops the CPU stops timers.
func (t *Transport) sweep() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	next := time.Duration(0)

	kept := t.idle[:0]
	for _, l := range t.idle {
		left := l.keep - now.Sub(l.since)
		if left <= 0 {
			l.close()
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

// Idle returns the number of pooled connections.
func (t *Transport) Idle() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.idle)
}

// CloseIdle closes the pooled connections. Transactions in progress continue,
// and their connections are closed at the end.
func (t *Transport) CloseIdle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.generation++
	for _, l := range t.idle {
		l.close()
	}

	clear(t.idle)
	t.idle = t.idle[:0]
	if t.sweeper != nil {
		t.sweeper.Stop()
	}

	t.sweeping = false
}

// idleTimeout returns how long a connection may be idle if the backend has sent
// no Keep-Alive.
func (t *Transport) idleTimeout() time.Duration {
	switch {
	case t.IdleTimeout > 0:
		return t.IdleTimeout
	case t.TLS != nil:
		return 90 * time.Second
	}
	return 4 * time.Second
}
