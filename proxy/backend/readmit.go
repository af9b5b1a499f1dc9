package backend

import "time"

// judgeTrial decides about an ejected endpoint by the outcome of an attempt.
func (s *Service) judgeTrial(ep *Endpoint, o *Outcome) Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &ep.health
	if s.endpoints[ep.Name] != ep || !h.ejected.Load() || o.Began.UnixNano() < h.lastChange.Load() {
		return Unchanged
	}

	if o.Result == Succeeded {
		return s.readmitLocked(ep, "a request was answered", o.Began, o.Ended)
	}
	if o.Ended.Before(h.until) {
		return Unchanged // the failures that led to the ejection go on
	}

	return s.trialFailed(ep, o)
}

// trialFailed decides about an ejected endpoint whose trial request failed. The
// caller holds the mutex.
func (s *Service) trialFailed(ep *Endpoint, o *Outcome) Change {
	h := &ep.health
	f := fault{o.Result, "the trial request failed" + ep.lastText()}

	if o.Result == ServerError {
		if h.fault.kind != ServerError {
			return s.readmitLocked(
				ep, "a request was answered, though with a server error", o.Began, o.Ended,
			)
		}

		if s.untrustedClients && !h.clients.enough(o.Ended, windowSeconds) {
			// The request of one client proves nothing. Another trial follows,
			// but not at once, or requests would fail one after the other.
			h.until = o.Ended.Add(nearTrial)
			s.rebuild(o.Ended)
			return Unchanged
		}
	}

	if !s.mayLeaveOut(ep, f) {
		return s.readmitLocked(
			ep, "it can be reached, and LB_EJECT_MAX lets no more be left out by status", o.Began,
			o.Ended,
		)
	}

	return s.ejectLocked(ep, f, o.Ended)
}

// readmitLocked takes an ejected endpoint back into use. The request whose
// answer led to this must have begun after the ejection. The caller holds the
// mutex.
func (s *Service) readmitLocked(ep *Endpoint, why string, began, now time.Time) Change {
	h := &ep.health
	if s.endpoints[ep.Name] != ep || !h.ejected.Load() || began.UnixNano() < h.lastChange.Load() {
		return Unchanged
	}

	h.fault, h.since, h.shortened = fault{}, now, false
	h.reset()
	h.lastChange.Store(now.UnixNano())
	h.ejected.Store(false)
	if s.cfg.Health.SlowStart > 0 {
		h.slowStartAt = now
	}

	s.log.Info("backend readmitted", "backend", ep.Name, "reason", why)
	s.rebuild(now)
	return Readmission
}
