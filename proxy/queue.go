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
// session waits for its own endpoint first; when half of its time is over it takes any, and keeps its place in line.
// Who may be used can change meanwhile: a waiter goes by what is known when a place is free, not when it came.
// Without a limit nothing ever comes here.
type queue struct {
	limit    int64 // in flight per endpoint
	size     int   // waiters per endpoint
	timeout  time.Duration
	snapshot *atomic.Pointer[snapshot] // the service's

	waiting atomic.Int64
	mu      sync.Mutex
	line    list.List // of *waiter, in order of arrival
}

// waiter is a request in the queue. Its fields are guarded by the queue's mutex.
type waiter struct {
	only  string               // name of a session's endpoint while it waits for no other; "" for any of the request's choice
	may   func(*endpoint) bool // the request's choice, as things are now
	ready chan *endpoint       // gets the endpoint in which a place was taken for it
}

// takes reports whether the waiter can use a place on the endpoint.
func (w *waiter) takes(ep *endpoint) bool { return (w.only == "" || w.only == ep.name) && w.may(ep) }

// enter takes a place for the request on e, or on any other eligible endpoint when the request is not bound to e, or
// waits for one. Without an endpoint the request was answered. A trial does not stand in line: nobody there waits for
// its endpoint.
func (x *exchange) enter(e *entry) (*endpoint, bool) {
	q := &x.p.service.queue
	if q.take(e.ep) || e.trial && q.seize(e.ep) {
		return e.ep, false
	}
	x.p.service.release(e.ep, x.trial)
	x.trial = false
	w := &waiter{may: x.mayGo(e), ready: make(chan *endpoint, 1)}
	bound := x.reason == byCookie || x.reason == byStrict
	if bound {
		w.only = e.ep.name
	}
	ep, why := x.wait(q, w)
	switch {
	case ep != nil:
		if (bound || e.trial) && ep.name != e.ep.name {
			x.reason = reason(x.snap.pick.policy)
		}
		return ep, false
	case why == clientLeft:
		return nil, x.fail(ending{statusClientGone, "client", "queue"}, errClientGone)
	case why == waitedLong && x.expired():
		return nil, x.fail(ending{http.StatusGatewayTimeout, "us", "queue"}, errTimeout)
	}
	return nil, x.fail(ending{http.StatusServiceUnavailable, "us", "queue"}, errQueue)
}

// mayGo returns the question whether the request may go to an endpoint: to the one that was picked for it, and to those
// that it could have been. What was picked although it was not usable need not become so. The question is asked as long
// as the request waits, so what it needs is copied.
func (x *exchange) mayGo(picked *entry) func(*endpoint) bool {
	current, tried := &x.p.service.snapshot, append([]*endpoint(nil), x.tried[:x.ntried]...)
	name, forced := picked.ep.name, !picked.usable
	return func(ep *endpoint) bool {
		snap := current.Load()
		e := snap.find(ep.name)
		switch {
		case e == nil || e.ep != ep: // it left, or its backend is at another address now
			return false
		case ep.name == name:
			return forced || e.usable && !e.spare || snap.panic
		}
		return e.weight > 0 && (e.usable && !e.spare || snap.panic) && !contains(tried, ep)
	}
}

// waitEnd says why waiting ended without a place.
type waitEnd uint8

const (
	waitedLong waitEnd = iota
	queueFull
	clientLeft
)

// wait stands in line until a place is handed over.
func (x *exchange) wait(q *queue, w *waiter) (*endpoint, waitEnd) {
	place := q.join(w)
	if place == nil {
		return nil, queueFull
	}
	x.waited = true
	began := time.Now()
	limit := q.timeout
	if !x.deadline.IsZero() {
		limit = min(limit, time.Until(x.deadline))
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	var loosen <-chan time.Time
	if w.only != "" && x.reason != byStrict {
		half := time.NewTimer(limit / 2)
		defer half.Stop()
		loosen = half.C
	}
	defer func() { x.record.Queue += time.Since(began) }()
	for {
		select {
		case ep := <-w.ready:
			return ep, waitedLong
		case <-loosen:
			q.loosen(w)
			loosen = nil
		case <-timer.C:
			return q.quit(place, w), waitedLong
		case <-x.r.Context().Done():
			if ep := q.quit(place, w); ep != nil {
				x.p.service.leave(ep)
			}
			return nil, clientLeft
		}
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

// join puts a waiter at the end of the line, where it may find a place handed over at once. nil means that it found
// none and the line is full. The waiter is counted before places are looked at, so that one that becomes free at this
// moment is seen either here or by who frees it; and so is a new snapshot.
func (q *queue) join(w *waiter) *list.Element {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting.Add(1)
	place := q.line.PushBack(w)
	snap := q.snapshot.Load()
	q.dispatch(snap)
	if len(w.ready) == 0 && q.line.Len() > q.size*max(1, len(snap.entries)) {
		q.line.Remove(place)
		q.waiting.Add(-1)
		return nil
	}
	return place
}

// loosen lets a session's request go to any endpoint from now on.
func (q *queue) loosen(w *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w.only = ""
	q.dispatch(q.snapshot.Load())
}

// review looks again at who waits for what, because there is a new snapshot.
func (q *queue) review() {
	if q.waiting.Load() > 0 {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.dispatch(q.snapshot.Load())
	}
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

// dispatch hands free places to those who wait, first come first served. The caller holds the mutex.
func (q *queue) dispatch(snap *snapshot) {
	for i := range snap.entries {
		for q.hand(snap.entries[i].ep) {
		}
	}
}

// hand gives one place on the endpoint to the first waiter that can use it. The caller holds the mutex.
func (q *queue) hand(ep *endpoint) bool {
	if ep.inFlight.Load() >= q.limit {
		return false
	}
	for place := q.line.Front(); place != nil; place = place.Next() {
		w := place.Value.(*waiter)
		if !w.takes(ep) {
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
