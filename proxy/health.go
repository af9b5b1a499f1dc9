package proxy

import (
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/config"
)

// verdict is what active probes say of an endpoint.
type verdict uint8

const (
	unknown verdict = iota // never asked, or asked too long ago: eligible
	healthy
	unhealthy
)

// health is what an endpoint's probes and its traffic say of it. All but the atomics is written and read under the
// service's mutex; requests see it through the snapshot.
type health struct {
	verdict   verdict
	verdictAt time.Time // of the last probe
	passed    bool      // the last probe did
	why       string    // the last probe's answer, in words
	streak    int       // probes in a row that spoke against the verdict
	failedAt  time.Time // of the last probe that failed

	ejected   atomic.Bool // written under the mutex
	until     time.Time   // when an ejected endpoint gets its trial
	ejections int         // in a row; each makes the next one longer
	cause     string
	since     time.Time    // when the endpoint last became, or ceased to be, usable
	turned    atomic.Int64 // of the last ejection or readmission; what began before it counts no more. Unix nanoseconds
	ramp      time.Time    // start of the slow start; zero when there is none

	trial atomic.Bool // somebody's request is the trial
	tally tally
}

func (h *health) init() { h.since = time.Now() }

// verdictLife is how long a verdict holds without another probe: three intervals, of which none is shorter than the
// time limit of a probe.
func verdictLife(cfg config.Health) time.Duration { return 3 * max(cfg.Interval, cfg.Timeout) }

// fresh is the verdict unless it is so old that the platform must have stopped our clock meanwhile.
func (h *health) fresh(now time.Time, life time.Duration) verdict {
	if h.verdict != unknown && now.Sub(h.verdictAt) > life {
		return unknown
	}
	return h.verdict
}

// take notes a probe's answer. It reports whether it changed the verdict, and whether the verdict is about to change.
// An endpoint without a fresh verdict gets it from the first probe.
func (h *health) take(ok bool, why string, now time.Time, cfg config.Health) (changed, changing bool) {
	before := h.fresh(now, verdictLife(cfg))
	h.passed, h.why, h.verdictAt = ok, why, now
	says, needed := healthy, cfg.Healthy
	if !ok {
		says, needed, h.failedAt = unhealthy, cfg.Unhealthy, now
	}
	if before == says {
		h.streak = 0
		return false, false
	}
	if h.streak++; before != unknown && h.streak < needed {
		return false, true
	}
	changed = h.verdict != says // a stale verdict that is only confirmed is no news
	h.verdict, h.streak = says, 0
	return changed, false
}

// judge takes a probe's answer and reports whether the verdict is changing. A change is said once.
func (s *service) judge(ep *endpoint, ok bool, why string, began, now time.Time) (changing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.endpoints[ep.name] != ep {
		return false
	}
	h := &ep.health
	stale := h.fresh(now, verdictLife(s.cfg.Health)) != h.verdict
	changed, changing := h.take(ok, why, now, s.cfg.Health)
	if changed {
		h.since = now
		s.announce(ep)
	}
	if changed || stale {
		s.rebuild(now)
	}
	if h.verdict == healthy && h.ejected.Load() && h.vouched(now) {
		s.takeBack(ep, "probes pass: "+why, began, now)
	}
	return changing
}

// vouched reports whether good probes are enough to take an ejected endpoint back: they have seen the trouble
// themselves and seen it end, or the time of the ejection is over and they stand for the trial request. Probes that
// passed all the while don't see what traffic suffers from.
func (h *health) vouched(now time.Time) bool {
	return !now.Before(h.until) || !h.failedAt.IsZero() && h.failedAt.UnixNano() >= h.turned.Load()
}

// announce logs a new verdict.
func (s *service) announce(ep *endpoint) {
	if ep.health.verdict == unhealthy {
		s.log.Warn("backend unhealthy", "backend", ep.name, "reason", ep.health.why)
	} else {
		s.log.Info("backend healthy", "backend", ep.name, "reason", ep.health.why)
	}
}
