package backend

import (
	"container/list"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// queue is where claims wait, in order, when every endpoint they may go to has
// LB_MAX_IN_FLIGHT requests in flight. A place that becomes free goes to the
// first waiter that can use it.
//
// A claim with a session waits for its own endpoint first. After half of its
// time it takes any endpoint, and keeps its position. Which endpoints may be
// used can change meanwhile, so a waiter is asked when a place is free. Without
// LB_MAX_IN_FLIGHT the queue is not used.
type queue struct {
	limit    int64 // in flight per endpoint
	size     int   // waiters per endpoint
	timeout  time.Duration
	snapshot *atomic.Pointer[snapshot] // the service's

	waiting atomic.Int64
	mu      sync.Mutex
	line    list.List // of *waiter, in order of arrival
}

// waiter is a claim in the queue. Its fields are guarded by the queue's mutex.
type waiter struct {
	// The name of the session's endpoint while the claim waits for no other,
	// else "".
	only   string
	mayUse func(*Endpoint) bool // whether the claim may go to an endpoint now
	ready  chan *Endpoint       // gets the endpoint at which a place was taken for the claim
}

// takes reports whether the waiter can use a place at the endpoint.
func (w *waiter) takes(ep *Endpoint) bool {
	return (w.only == "" || w.only == ep.Name) && w.mayUse(ep)
}

// queueFor takes a place for a claim at e. If there is none, it waits for one
// at e or, without a session, at any other eligible endpoint. A trial does not
// wait, because no claim in the queue can be given an ejected endpoint.
func (s *Service) queueFor(c *Claim, e *entry, p *Place) error {
	q := &s.queue
	if q.take(e.ep) || e.trial && q.takePlace(e.ep) {
		return nil
	}

	p.EndTrial()
	p.trial = false
	if c.Mirror || c.hedge {
		return &Refused{Full, "queue"}
	}

	w := &waiter{mayUse: s.mayGo(c, e), ready: make(chan *Endpoint, 1)}
	bound := p.Reason == ByCookie || p.Reason == ByStrict
	if bound {
		w.only = e.ep.Name
	}

	ep, err := s.wait(c, w, p.Reason == ByStrict)
	if err != nil {
		return err
	}
	if (bound || e.trial) && ep.Name != e.ep.Name {
		p.Reason = Reason(c.snap.pick.name)
	}

	p.Endpoint = ep

	return nil
}

// mayGo returns the function that decides whether a claim may go to an
// endpoint: to the one that was chosen, or to one that could have been. An
// endpoint that was chosen although it is not usable stays allowed. The
// function is called while the claim waits, so it has copies of what it needs.
func (s *Service) mayGo(c *Claim, picked *entry) func(*Endpoint) bool {
	current, tried := &s.snapshot, slices.Clone(c.tried)
	name, forced := picked.ep.Name, !picked.usable

	return func(ep *Endpoint) bool {
		snap := current.Load()
		e := snap.find(ep.Name)
		switch {
		case e == nil || e.ep != ep: // it left, or its backend has another address now
			return false
		case ep.Name == name:
			return forced || e.usable && !e.spare || snap.panic
		}

		return e.weight > 0 && (e.usable && !e.spare || snap.panic) && !slices.Contains(tried, ep)
	}
}

// wait waits in the queue until a place is handed over. A claim with a session
// takes any endpoint after half of its time, unless it is strict.
func (s *Service) wait(c *Claim, w *waiter, strict bool) (*Endpoint, error) {
	q := &s.queue
	place := q.join(w)
	if place == nil {
		return nil, &Refused{Full, "queue"}
	}

	c.Waited = true
	began := time.Now()
	defer func() { c.Queued += time.Since(began) }()

	limit := c.limit(q.timeout)
	timer := time.NewTimer(limit)
	defer timer.Stop()

	var loosen <-chan time.Time
	if w.only != "" && !strict {
		half := time.NewTimer(limit / 2)
		defer half.Stop()
		loosen = half.C
	}

	for {
		select {
		case ep := <-w.ready:
			return ep, nil
		case <-loosen:
			q.allowAny(w)
			loosen = nil
		case <-timer.C:
			return q.timedOut(c, place, w)
		case <-c.Context.Done():
			if ep := q.leaveLine(place, w); ep != nil {
				s.giveBack(ep)
			}
			return nil, &Refused{ClientGone, "queue"}
		}
	}
}

// timedOut ends a wait that took too long. A place may have been handed over at
// the last moment.
func (q *queue) timedOut(c *Claim, place *list.Element, w *waiter) (*Endpoint, error) {
	if ep := q.leaveLine(place, w); ep != nil {
		return ep, nil
	}

	if c.expired() {
		return nil, &Refused{Late, "queue"}
	}

	return nil, &Refused{Full, "queue"}
}

// take takes a place at the endpoint if there is one and no claim is waiting.
func (q *queue) take(ep *Endpoint) bool {
	return q.waiting.Load() == 0 && q.takePlace(ep)
}

// takePlace takes a place at the endpoint if there is one.
func (q *queue) takePlace(ep *Endpoint) bool {
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

// join puts a waiter at the end of the line, and may hand over a place at once.
// It returns nil if there was no place and the line is full.
//
// The waiter is counted before the places are looked at. A place that becomes
// free just now is therefore seen either here or by the goroutine that frees
// it. The same is true for a new snapshot.
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

// allowAny lets a claim with a session take any endpoint from now on.
func (q *queue) allowAny(w *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w.only = ""
	q.dispatch(q.snapshot.Load())
}

// dispatchAll hands places over after a new snapshot was stored.
func (q *queue) dispatchAll() {
	if q.waiting.Load() > 0 {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.dispatch(q.snapshot.Load())
	}
}

// leaveLine takes a waiter out of the line. It returns the endpoint if a place
// was handed over at the last moment.
func (q *queue) leaveLine(place *list.Element, w *waiter) *Endpoint {
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

// dispatch hands free places over, first come first served. The caller holds
// the mutex.
func (q *queue) dispatch(snap *snapshot) {
	for i := range snap.entries {
		for q.handOver(snap.entries[i].ep) {
		}
	}
}

// handOver gives one place at the endpoint to the first waiter that can use it.
// The caller holds the mutex.
func (q *queue) handOver(ep *Endpoint) bool {
	if ep.inFlight.Load() >= q.limit {
		return false
	}

	for place := q.line.Front(); place != nil; place = place.Next() {
		w := place.Value.(*waiter)
		if !w.takes(ep) {
			continue
		}
		if !q.takePlace(ep) {
			return false
		}

		q.line.Remove(place)
		q.waiting.Add(-1)
		w.ready <- ep

		return true
	}

	return false
}

// giveBack frees a place, and hands it to a waiter if there is one.
func (s *Service) giveBack(ep *Endpoint) {
	ep.inFlight.Add(-1)
	if s.queue.waiting.Load() > 0 {
		s.queue.mu.Lock()
		s.queue.handOver(ep)
		s.queue.mu.Unlock()
	}
}

// endTrial ends the endpoint's trial, if this request was the trial.
func (s *Service) endTrial(ep *Endpoint, trial bool) {
	if trial {
		ep.health.trial.Store(false)
	}
}
