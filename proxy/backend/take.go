package backend

import (
	"math/rand/v2"
	"time"
)

// firstSet is how long after its start a request waits for the service's first
// set of backends.
const firstSet = 5 * time.Second

// Begin waits for the service's first set of backends and reads the claim's
// session. cookies are the values of the affinity cookie in the request. An
// error is a *Refused.
func (s *Service) Begin(c *Claim, cookies []string) error {
	if err := s.awaitFirstSet(c); err != nil {
		return err
	}

	s.readSession(c, cookies)
	if c.Session.lost(s) {
		return &Refused{StrictLost, "pick"}
	}

	return nil
}

func (s *Service) awaitFirstSet(c *Claim) error {
	if c.snap = s.current(c.Start); c.snap != nil {
		return nil
	}

	c.Waited = true
	wait := time.NewTimer(c.limit(firstSet))
	defer wait.Stop()

	select {
	case <-s.first:
		c.snap = s.current(time.Now())
		return nil
	case <-c.Context.Done():
		return &Refused{ClientGone, "discovery"}
	case <-wait.C:
	}

	if c.expired() {
		return &Refused{Late, "discovery"}
	}

	return &Refused{NotReady, "discovery"}
}

// Take chooses an endpoint that the claim has not tried and takes a place in
// flight there. If every endpoint has LB_MAX_IN_FLIGHT requests in flight, it
// waits in the queue. The caller must call Release on the place. An error is a
// *Refused.
func (s *Service) Take(c *Claim) (Place, error) {
	if c.attempts > 0 {
		c.snap = s.current(time.Now())
	}

	e, why := s.choose(c)
	if e == nil {
		return Place{}, s.refusal(c)
	}

	p := Place{Endpoint: e.ep, Reason: why, service: s, trial: e.trial, first: c.attempts == 0}
	if s.cfg.MaxInFlight == 0 {
		e.ep.inFlight.Add(1)
	} else if err := s.queueFor(c, e, &p); err != nil {
		return Place{}, err
	}

	c.attempts++
	if !c.hasTried(p.Endpoint) {
		c.tried = append(c.tried, p.Endpoint)
	}

	p.transport = s.transportFor(p.Endpoint, c)

	return p, nil
}

// refusal returns why no endpoint is left for a claim.
func (s *Service) refusal(c *Claim) *Refused {
	switch {
	case s.Strict(c):
		return &Refused{StrictLost, "pick"}
	case c.attempts == 0:
		return &Refused{NoBackend, "pick"}
	}

	return &Refused{Exhausted, "pick"}
}

// Strict reports whether the claim must stay at its session's endpoint.
func (s *Service) Strict(c *Claim) bool { return s.cfg.Affinity.Strict && c.Session.Bound() }

// choose returns the entry of the session's endpoint if that may be used, or
// else one that the policy picks among those that were not tried.
func (s *Service) choose(c *Claim) (*entry, Reason) {
	if e := s.sessionEntry(c); e != nil {
		if s.cfg.Affinity.Strict {
			return e, ByStrict
		}
		return e, ByCookie
	}

	if s.Strict(c) {
		return nil, ByStrict
	}

	if e := c.snap.pick.choose(c.tried); e != nil {
		return e, c.reason(e)
	}

	if e := c.lastResort(); e != nil {
		return e, ByPanic
	}

	return nil, ""
}

// reason returns the reason for a choice of the policy.
func (c *Claim) reason(e *entry) Reason {
	switch {
	case c.Mirror:
		return ByMirror
	case c.hedge && c.attempts == 1:
		return ByHedge
	case c.attempts > 0:
		return ByRetry
	case e.trial:
		return ByTrial
	case c.snap.panic:
		return ByPanic
	}

	return Reason(c.snap.pick.name)
}

// sessionEntry returns the entry of the session's endpoint if that may be used
// and was not tried. A strict session keeps its endpoint even after a failed
// attempt.
func (s *Service) sessionEntry(c *Claim) *entry {
	bound := c.Session.endpoint
	if bound == nil {
		return nil
	}

	e := c.snap.find(bound.Name)
	if e == nil || e.ep != bound && c.hasTried(bound) {
		return nil
	}
	if c.hasTried(e.ep) && !s.cfg.Affinity.Strict {
		return nil
	}

	if c.snap.panic || !e.spare && (e.usable || e.trial && e.admit()) {
		return e
	}

	return nil
}

// lastResort returns an entry that is not eligible and was not tried. When all
// others have been tried, it is better than an error.
func (c *Claim) lastResort() *entry {
	n := len(c.snap.entries)
	if n == 0 {
		return nil
	}

	start := rand.IntN(n)
	for i := range n {
		e := &c.snap.entries[(start+i)%n]
		if e.weight > 0 && !c.hasTried(e.ep) {
			return &entry{ep: e.ep, weight: e.weight}
		}
	}

	return nil
}
