package proxy

import (
	"math/rand/v2"
	"net/http"
	"time"
)

// pick decides where the next attempt goes and takes a place in flight there. Without an endpoint either the request
// was answered already (done), or the question must be asked again.
func (x *exchange) pick() (ep *endpoint, done bool) {
	s := x.p.service
	if x.record.Attempts > 0 {
		x.snap = s.view(time.Now())
	}
	e, why := x.prefer()
	switch {
	case e == nil && x.p.service.cfg.Affinity.Strict && x.bound != nil:
		return nil, x.fail(ending{http.StatusServiceUnavailable, "us", "pick"}, errStrict)
	case e == nil && x.record.Attempts == 0:
		return nil, x.fail(ending{http.StatusServiceUnavailable, "us", "pick"}, errNoBackend)
	case e == nil:
		return nil, x.exhausted()
	}
	x.reason, x.trial = why, e.trial
	if s.cfg.MaxInFlight == 0 {
		e.ep.inFlight.Add(1)
		return e.ep, false
	}
	return x.enter(e)
}

// prefer is the endpoint of the session while it may be used, else a draw among the untried.
func (x *exchange) prefer() (*entry, reason) {
	if e := x.session(); e != nil {
		if x.p.service.cfg.Affinity.Strict {
			return e, byStrict
		}
		return e, byCookie
	}
	if x.p.service.cfg.Affinity.Strict && x.bound != nil {
		return nil, byStrict
	}
	if e := x.snap.pick.choose(x.tried[:x.ntried]); e != nil {
		return e, x.why(e)
	}
	if e := x.lastResort(); e != nil {
		return e, byPanic
	}
	return nil, ""
}

// why names a draw.
func (x *exchange) why(e *entry) reason {
	switch {
	case x.record.Attempts > 0:
		return byRetry
	case e.trial:
		return byTrial
	case x.snap.panic:
		return byPanic
	}
	return reason(x.snap.pick.policy)
}

// session is the entry that the request's cookie is bound to, as long as it may be used and was not tried. A strict
// session stays where it is even then.
func (x *exchange) session() *entry {
	if x.bound == nil {
		return nil
	}
	e := x.snap.find(x.bound.name)
	if e == nil || e.ep != x.bound && contains(x.tried[:x.ntried], x.bound) {
		return nil
	}
	if contains(x.tried[:x.ntried], e.ep) && !x.p.service.cfg.Affinity.Strict {
		return nil
	}
	if x.snap.panic || !e.spare && (e.usable || e.trial && e.admit()) {
		return e
	}
	return nil
}

// lastResort is an endpoint that nobody may choose, when all that may be chosen were tried: better it than an error.
func (x *exchange) lastResort() *entry {
	n := len(x.snap.entries)
	if n == 0 {
		return nil
	}
	start := rand.IntN(n)
	for i := range n {
		e := &x.snap.entries[(start+i)%n]
		if e.weight > 0 && !contains(x.tried[:x.ntried], e.ep) {
			return &entry{ep: e.ep, weight: e.weight}
		}
	}
	return nil
}

// exhausted answers when every endpoint was tried, unless the service is still starting: then the request is held and
// everything is tried again. It reports whether the request was answered.
func (x *exchange) exhausted() bool {
	if x.class == notSent && x.hold() {
		return false
	}
	return x.fail(x.last, x.cause)
}

// pause waits before a retry, unless the client leaves or the request's own deadline comes first; then it reports false.
func (x *exchange) pause(d time.Duration) bool {
	if !x.deadline.IsZero() && time.Until(x.deadline) < d {
		return false
	}
	return x.sleep(d, "retry")
}

// sleep waits, unless the client leaves; then it notes that the request ended there, and reports false.
func (x *exchange) sleep(d time.Duration, phase string) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-x.r.Context().Done():
		x.last, x.cause = ending{statusClientGone, "client", phase}, errClientGone
		return false
	}
}
