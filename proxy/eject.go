package proxy

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// An endpoint is ejected by what live traffic shows: so many failures in a row, or a success rate that is low and much
// lower than the others'. It comes back by one good answer to a request that began after the ejection: the trial when
// its time is over, or any request that had nowhere else to go; probes can take it back as well. The last endpoint in
// use is never ejected.

// longestEjection bounds the growth of the ejection time.
const longestEjection = 300 * time.Second

// samples and margin guard the success rate against chance: a verdict needs so many outcomes, and to be so much worse
// than the other endpoints together.
const (
	samples = 20
	margin  = 0.20
)

// happening is what an outcome changed about its endpoint; spans carry it as an event.
type happening string

const (
	ejected    happening = "ejected"
	readmitted happening = "readmitted"
)

// report takes the outcome of an attempt that began at the given time and returns what it changed, "" mostly. What
// began before the endpoint was last ejected or readmitted tells of another time and counts for nothing.
func (s *service) report(ep *endpoint, ok bool, began, now time.Time) happening {
	h := &ep.health
	if !ok {
		ep.failures.Add(1)
	}
	if began.UnixNano() < h.turned.Load() {
		return ""
	}
	row := h.tally.add(ok, now)
	switch {
	case ok && h.ejected.Load():
		return s.readmit(ep, "a request was answered", began, now)
	case !ok && s.suspicious(ep, row, now):
		return s.eject(ep, row, began, now)
	}
	return ""
}

// suspicious is the cheap part of the question whether a failure leads to an ejection; it locks nothing.
func (s *service) suspicious(ep *endpoint, row int64, now time.Time) bool {
	if s.inARow(row) || ep.health.ejected.Load() {
		return true
	}
	if s.cfg.Eject.Rate == 0 {
		return false
	}
	good, bad := ep.health.tally.sum(now)
	return good+bad >= samples && share(good, bad) < s.cfg.Eject.Rate
}

func (s *service) inARow(row int64) bool {
	return s.cfg.Eject.Errors > 0 && row >= int64(s.cfg.Eject.Errors)
}

// eject takes the endpoint out of use if the rules allow it.
func (s *service) eject(ep *endpoint, row int64, began, now time.Time) happening {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &ep.health
	if s.endpoints[ep.name] != ep || began.UnixNano() < h.turned.Load() {
		return ""
	}
	cause := s.ejectCause(ep, row, now)
	if cause == "" || !s.mayEject(ep, now) {
		return ""
	}
	pause := h.sentence(s.cfg.Eject.Time, now)
	h.cause, h.until, h.since = cause, now.Add(pause), now
	h.ejected.Store(true)
	h.turned.Store(now.UnixNano())
	s.log.Warn("backend ejected", "backend", ep.name, "reason", cause, "seconds", pause.Seconds(), "times", h.ejections)
	s.rebuild(now)
	h.turned.Store(time.Now().UnixNano()) // whoever began until now may have been sent there by the old snapshot
	return ejected
}

// ejectCause says why the endpoint deserves to be ejected, or ejected for longer; "" when it does not. One that is
// ejected already gets its failures held against it only when its time is over: then they are failed trials.
func (s *service) ejectCause(ep *endpoint, row int64, now time.Time) string {
	h := &ep.health
	good, bad := h.tally.sum(now)
	switch {
	case h.ejected.Load():
		if now.Before(h.until) {
			return ""
		}
		return "the trial request failed"
	case s.inARow(row):
		return fmt.Sprintf("%d failures in a row", row)
	case s.cfg.Eject.Rate > 0 && good+bad >= samples && share(good, bad) < s.cfg.Eject.Rate && s.worseThanOthers(ep, share(good, bad), now):
		return fmt.Sprintf("%.0f%% of %d requests succeeded in the last 10 s", 100*share(good, bad), good+bad)
	}
	return ""
}

// sentence counts one more ejection and says how long it lasts: n times the base, with some jitter, so that balancers
// don't try an endpoint all at the same moment. Each base time of good conduct in between makes n one less.
func (h *health) sentence(base time.Duration, now time.Time) time.Duration {
	if !h.ejected.Load() && h.ejections > 0 && base > 0 {
		conduct := now.Sub(time.Unix(0, h.turned.Load())) / base
		h.ejections -= int(min(conduct, time.Duration(h.ejections)))
	}
	h.ejections++
	pause := longestEjection
	if base < longestEjection/time.Duration(h.ejections) {
		pause = base * time.Duration(h.ejections)
	}
	return pause - time.Duration(rand.Int64N(int64(pause)/10+1))
}

// mayEject keeps the last endpoint in use, and the share that LB_EJECT_MAX allows: at least one, or a small service
// would have no ejection at all. When the last one deserves it as well, the others get their trials soon.
func (s *service) mayEject(ep *endpoint, now time.Time) bool {
	if ep.health.ejected.Load() {
		return true
	}
	out, left := 1, 0
	for _, e := range s.snapshot.Load().entries {
		switch {
		case e.ep == ep:
		case e.ep.health.ejected.Load():
			out++
		case e.usable && e.weight > 0:
			left++
		}
	}
	if left == 0 {
		s.hasten(now)
		return false
	}
	return out == 1 && s.cfg.Eject.Max > 0 || float64(out) <= s.cfg.Eject.Max*float64(len(s.published))
}

// soon is the longest that an ejected endpoint waits for its trial while no other is any better.
const soon = time.Second

// hasten brings the trials of all ejected endpoints forward.
func (s *service) hasten(now time.Time) {
	brought := false
	for _, ep := range s.endpoints {
		if h := &ep.health; h.ejected.Load() && h.until.After(now.Add(soon)) {
			h.until, brought = now.Add(soon), true
		}
	}
	if brought {
		s.rebuild(now)
	}
}

// worseThanOthers compares with the others in use together: where all are equally bad, the fault lies elsewhere.
func (s *service) worseThanOthers(ep *endpoint, rate float64, now time.Time) bool {
	var good, bad int64
	for _, other := range s.endpoints {
		if other != ep && !other.health.ejected.Load() {
			g, b := other.health.tally.sum(now)
			good, bad = good+g, bad+b
		}
	}
	return rate+margin <= share(good, bad)
}

// readmit takes an ejected endpoint back into use, if the answer that speaks for it was asked for after the ejection.
func (s *service) readmit(ep *endpoint, why string, began, now time.Time) happening {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.takeBack(ep, why, began, now)
}

// takeBack is readmit for callers that hold the mutex.
func (s *service) takeBack(ep *endpoint, why string, began, now time.Time) happening {
	h := &ep.health
	if s.endpoints[ep.name] != ep || !h.ejected.Load() || began.UnixNano() < h.turned.Load() {
		return ""
	}
	h.cause, h.since = "", now
	h.tally.reset()
	h.turned.Store(now.UnixNano())
	h.ejected.Store(false)
	if s.cfg.Health.SlowStart > 0 {
		h.ramp = now
	}
	s.log.Info("backend readmitted", "backend", ep.name, "reason", why)
	s.rebuild(now)
	return readmitted
}

// share is the share of good ones; of none, all.
func share(good, bad int64) float64 {
	if good+bad == 0 {
		return 1
	}
	return float64(good) / float64(good+bad)
}
