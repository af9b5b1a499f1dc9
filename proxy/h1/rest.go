package h1

import (
	"math"
	"net/http"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
)

// Some backends close a connection after so many answers and do not say so. A
// request that meets such an end on its way is lost if it may not be repeated,
// for a reset does not prove that nobody read it (delivery.go). So a request
// that is not safe rides on a connection that has carried n requests only when
// another one was found open a moment after its n-th answer. Until then it
// waits for that moment itself, once for each of the first few n.

const (
	// restTime is how long after an answer a backend closes the connection at
	// the latest, if it closes it because of that answer.
	restTime = 10 * time.Millisecond
	// unlimited is from how many requests on it is taken that there is no
	// limit.
	unlimited = 16
	// hasty is how long after an answer an end still counts as caused by it.
	hasty = 10 * restTime
)

// safe reports whether a request can be repeated whatever became of it: its
// method is safe (RFC 9110 section 9.2.1) and it has no body.
func safe(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead ||
		r.Method == http.MethodOptions) &&
		r.ContentLength == 0
}

// restless reports whether a request has to wait until a connection has rested.
func (l *link) restless(r *http.Request) bool {
	return l.raw != nil && !safe(r) && l.uses > l.t.proven.Load()
}

// rest waits until the backend would have closed a connection after its last
// answer, or has closed it, and reports whether it is open.
func (l *link) rest(now time.Time) bool {
	if left := restTime - now.Sub(l.since); left > 0 {
		l.armed = time.Time{}
		l.c.SetReadDeadline(now.Add(left))
		l.raw.Read(func(fd uintptr) bool { return socket.Peek(int(fd)) != socket.Silent })
		l.c.SetReadDeadline(time.Time{})
	}

	if l.look() != socket.Silent {
		return false
	}

	l.t.prove(l.uses)
	return true
}

// prove notes that a connection was open after so many requests.
func (t *Transport) prove(uses int64) {
	if uses >= unlimited {
		uses = math.MaxInt64
	}

	for {
		old := t.proven.Load()
		if old >= uses || t.proven.CompareAndSwap(old, uses) {
			return
		}
	}
}

// ended notes that a connection was found closed, which is a limit of its
// backend's if it comes soon after an answer.
func (l *link) ended(now time.Time) {
	if now.Sub(l.since) > hasty {
		return
	}

	for {
		old := l.t.proven.Load()
		if old < l.uses || l.t.proven.CompareAndSwap(old, l.uses-1) {
			return
		}
	}
}
