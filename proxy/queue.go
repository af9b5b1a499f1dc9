package proxy

import (
	"container/list"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// queue is where requests wait in order when every endpoint that they may go to has as many in flight as
// LB_MAX_IN_FLIGHT allows. A place that becomes free is handed to the first waiter that can use it. A request of a
// session waits for its own endpoint first, and only when that took too long goes anywhere. Without a limit nothing
// ever comes here.
type queue struct {
	limit   int64 // in flight per endpoint
	size    int   // waiters per endpoint
	timeout time.Duration

	waiting atomic.Int64
	mu      sync.Mutex
	line    list.List // of *waiter, in order of arrival
}

// waiter is a request in the queue.
type waiter struct {
	only  *endpoint // a session's endpoint; nil for any of the request's choice
	may   func(*endpoint) bool
	ready chan *endpoint // gets the endpoint in which a place was taken for it
}

// enter takes a place for the request on e, or on any other eligible endpoint when the request is not bound to e, or
// waits for one. Without an endpoint the request was answered.
func (x *exchange) enter(e *entry) (*endpoint, bool) {
	q := &x.p.service.queue
	bound := x.reason == byCookie || x.reason == byStrict
	if q.take(e.ep) {
		return e.ep, false
	}
	x.p.service.release(e.ep, x.trial)
	x.trial = false
	w := &waiter{ready: make(chan *endpoint, 1)}
	if bound {
		w.only = e.ep
	} else {
		w.may = x.mayGo(x.snap, append([]*endpoint(nil), x.tried[:x.ntried]...))
		if ep := q.takeAny(x.snap, w.may); ep != nil {
			return ep, false
		}
	}
	ep, why := x.wait(q, w)
	if ep == nil && bound && x.reason == byCookie && why == waitedLong {
		ep = q.takeAny(x.snap, x.mayGo(x.snap, x.tried[:x.ntried]))
		x.reason = reason(x.snap.pick.policy)
	}
	if ep != nil {
		return ep, false
	}
	if why == clientLeft {
		return nil, x.fail(ending{statusClientGone, "client", "queue"}, errClientGone)
	}
	return nil, x.fail(ending{http.StatusServiceUnavailable, "us", "queue"}, errQueue)
}

// mayGo returns the question whether an unbound request may go to an endpoint.
func (x *exchange) mayGo(snap *snapshot, tried []*endpoint) func(*endpoint) bool {
	return func(ep *endpoint) bool {
		if contains(tried, ep) {
			return false
		}
		for i := range snap.pick.entries {
			if snap.pick.entries[i].ep == ep {
				return !snap.pick.entries[i].trial
			}
		}
		return false
	}
}

// Why waiting ended without a place.
type waitEnd uint8

const (
	waitedLong waitEnd = iota
	queueFull
	clientLeft
)

// wait stands in line until a place is handed over.
func (x *exchange) wait(q *queue, w *waiter) (*endpoint, waitEnd) {
	place := q.join(w, q.size*max(1, len(x.snap.entries)))
	if place == nil {
		return nil, queueFull
	}
	began := time.Now()
	limit := q.timeout
	if !x.deadline.IsZero() {
		limit = min(limit, time.Until(x.deadline))
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	defer func() { x.record.Queue += time.Since(began) }()
	q.dispatch(x.snap) // a place may have become free before we stood in line
	select {
	case ep := <-w.ready:
		return ep, waitedLong
	case <-timer.C:
		return q.quit(place, w), waitedLong
	case <-x.r.Context().Done():
		if ep := q.quit(place, w); ep != nil {
			x.p.service.leave(ep)
		}
		return nil, clientLeft
	}
}

// take takes a place on the endpoint if there is one and nobody stands in line.
func (q *queue) take(ep *endpoint) bool {
	return q.waiting.Load() == 0 && q.seize(ep)
}

// seize takes a place on the endpoint if there is one.
func (q *queue) seize(ep *endpoint) bool {
	for {
		n := ep.inFlight.Load()
		if n >= q.limit {
			return false
		}
		if ep.inFlight.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// takeAny takes a place on whichever endpoint has one, if nobody stands in line.
func (q *queue) takeAny(snap *snapshot, may func(*endpoint) bool) *endpoint {
	if q.waiting.Load() > 0 {
		return nil
	}
	for i := range snap.pick.entries {
		if ep := snap.pick.entries[i].ep; may(ep) && q.seize(ep) {
			return ep
		}
	}
	return nil
}

// join puts a waiter at the end of the line; nil when the line is full.
func (q *queue) join(w *waiter, size int) *list.Element {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.line.Len() >= size {
		return nil
	}
	q.waiting.Add(1)
	return q.line.PushBack(w)
}

// quit leaves the line. An endpoint was handed over at the last moment if one is returned.
func (q *queue) quit(place *list.Element, w *waiter) *endpoint {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case ep := <-w.ready:
		return ep
	default:
	}
	q.line.Remove(place)
	q.waiting.Add(-1)
	return nil
}

// dispatch hands free places to those who wait, first come first served.
func (q *queue) dispatch(snap *snapshot) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range snap.entries {
		for q.hand(snap.entries[i].ep) {
		}
	}
}

// hand gives one place on the endpoint to the first waiter that can use it. The caller holds the mutex.
func (q *queue) hand(ep *endpoint) bool {
	for place := q.line.Front(); place != nil; place = place.Next() {
		w := place.Value.(*waiter)
		if w.only != ep && (w.may == nil || !w.may(ep)) {
			continue
		}
		if !q.seize(ep) {
			return false
		}
		q.line.Remove(place)
		q.waiting.Add(-1)
		w.ready <- ep
		return true
	}
	return false
}

// leave gives a place in flight back, to a waiter if there is one.
func (s *service) leave(ep *endpoint) {
	ep.inFlight.Add(-1)
	if s.queue.waiting.Load() > 0 {
		s.queue.mu.Lock()
		s.queue.hand(ep)
		s.queue.mu.Unlock()
	}
}

// release ends the endpoint's trial if this request was it.
func (s *service) release(ep *endpoint, trial bool) {
	if trial {
		ep.health.trial.Store(false)
	}
}
