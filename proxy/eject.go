package proxy

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// An endpoint is ejected by what live traffic shows: so many failures in a row, or a success rate that is low and much
// lower than the others'. It comes back by one good answer to a request that began after the ejection: the trial when
// its time is over, or any request that had nowhere else to go. The last endpoint in use is never ejected.

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

// report takes the outcome of an attempt that began at the given time and returns what it changed, "" mostly.
func (s *service) report(ep *endpoint, ok bool, began, now time.Time) happening {
	row := ep.health.tally.add(ok, now)
	if ok {
		if snap := s.snapshot.Load(); snap != nil {
			if e := snap.find(ep.name); e != nil && (!e.usable || e.trial) {
				return s.readmit(ep, "a request was answered", began, now)
			}
		}
		return ""
	}
	ep.failures.Add(1)
	if s.suspicious(ep, row, now) {
		return s.eject(ep, row, began, now)
	}
	return ""
}

// suspicious is the cheap part of the question whether a failure leads to an ejection; it locks nothing.
func (s *service) suspicious(ep *endpoint, row int64, now time.Time) bool {
	if s.cfg.Eject.Errors > 0 && row >= int64(s.cfg.Eject.Errors) {
		return true
	}
	if ep.health.trial.Load() {
		return true
	}
	if s.cfg.Eject.Rate == 0 {
		return false
	}
	good, bad := ep.health.tally.sum(now)
	return good+bad >= samples && share(good, bad) < s.cfg.Eject.Rate
}

// eject takes the endpoint out of use if the rules allow it.
func (s *service) eject(ep *endpoint, row int64, began, now time.Time) happening {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &ep.health
	if s.endpoints[ep.name] != ep || h.ejected && began.Before(h.since) || !s.mayEject(ep) {
		return ""
	}
	good, bad := h.tally.sum(now)
	switch {
	case h.ejected:
		h.cause = "the trial request failed"
	case s.cfg.Eject.Errors > 0 && row >= int64(s.cfg.Eject.Errors):
		h.cause = fmt.Sprintf("%d failures in a row", row)
	case s.worseThanOthers(ep, share(good, bad), now):
		h.cause = fmt.Sprintf("%.0f%% of %d requests succeeded in the last 10 s", 100*share(good, bad), good+bad)
	default:
		return ""
	}
	h.ejections++
	pause := min(time.Duration(h.ejections)*s.cfg.Eject.Time, longestEjection)
	pause += time.Duration(rand.Int64N(int64(pause)/10 + 1))
	h.ejected, h.since, h.until = true, now, now.Add(pause)
	s.log.Warn("backend ejected", "backend", ep.name, "reason", h.cause, "seconds", pause.Seconds(), "times", h.ejections)
	s.rebuild(now)
	return ejected
}

// mayEject keeps the last endpoint in use, and the share that LB_EJECT_MAX allows.
func (s *service) mayEject(ep *endpoint) bool {
	if ep.health.ejected {
		return true
	}
	out, left := 1, 0
	for _, e := range s.snapshot.Load().entries {
		switch {
		case e.ep == ep:
		case e.ep.health.ejected:
			out++
		case e.usable && e.weight > 0:
			left++
		}
	}
	return left > 0 && float64(out) <= s.cfg.Eject.Max*float64(len(s.published))
}

// worseThanOthers compares with the other endpoints together: where all are equally bad, the fault lies elsewhere.
func (s *service) worseThanOthers(ep *endpoint, rate float64, now time.Time) bool {
	var good, bad int64
	for _, other := range s.endpoints {
		if other != ep {
			g, b := other.health.tally.sum(now)
			good, bad = good+g, bad+b
		}
	}
	return good+bad == 0 || rate+margin <= share(good, bad)
}

// readmit takes an ejected endpoint back into use, if the answer that speaks for it was asked for after the ejection.
func (s *service) readmit(ep *endpoint, why string, began, now time.Time) happening {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &ep.health
	if s.endpoints[ep.name] != ep || !h.ejected || began.Before(h.since) {
		return ""
	}
	h.ejected, h.cause, h.since = false, "", now
	h.tally.reset()
	if s.cfg.Health.SlowStart > 0 {
		h.ramp = now
	}
	s.log.Info("backend readmitted", "backend", ep.name, "reason", why)
	s.rebuild(now)
	return readmitted
}

func share(good, bad int64) float64 {
	if good+bad == 0 {
		return 1
	}
	return float64(good) / float64(good+bad)
}
