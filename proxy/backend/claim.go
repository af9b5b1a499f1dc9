package backend

import (
	"context"
	"slices"
	"time"
)

// Claim is what one request wants from a service: a place at an endpoint, and
// another place for each further attempt. The exported fields above Session are
// set before Begin. A Claim is used by one goroutine.
type Claim struct {
	Context  context.Context // of the request; its end ends every wait
	Start    time.Time       // of the request
	Deadline time.Time       // of the request; zero is none
	Upgrade  bool            // the request asks for a WebSocket, so it goes over HTTP/1.1
	// The request is a gRPC call, so it goes over HTTP/2 if the endpoint may
	// speak it.
	GRPC bool
	// The request is a copy, which no client waits for. It gets a place that is
	// free now, or none.
	Mirror bool

	// The service writes the fields below.

	Session Session       // of the request's cookie
	Queued  time.Duration // how long the claim waited in the queue
	Waited  bool          // it waited, for the first set of backends or in the queue

	snap     *snapshot
	tried    []*Endpoint // each once, in the order of the attempts
	attempts int         // places that it was given
	hedge    bool        // it is the second claim of one request
}

// Again returns a claim of the same request, with a context of its own, that
// has tried nothing.
func (c *Claim) Again(ctx context.Context) Claim {
	again := *c
	again.Context, again.tried, again.attempts = ctx, nil, 0

	return again
}

// Hedge makes c, which has tried nothing, the claim of a second request beside
// one that is at an endpoint already. It gets a place that is free now, at
// another endpoint. Hedge reports false if there is no other.
func (s *Service) Hedge(c *Claim, first *Endpoint) bool {
	c.snap = s.current(time.Now())
	c.tried, c.attempts, c.hedge = []*Endpoint{first}, 1, true

	return c.Untried()
}

// Reset empties the claim and keeps its memory for another request.
func (c *Claim) Reset() {
	tried := c.tried
	clear(tried)
	*c = Claim{}
	c.tried = tried[:0]
}

// Candidates returns how many endpoints the service had when the claim last
// looked, and how many of them could get new sessions.
func (c *Claim) Candidates() (all, eligible int) {
	if c.snap == nil {
		return 0, 0
	}

	return len(c.snap.entries), c.snap.eligible()
}

// Begun reports whether the service had a set of backends when the claim began.
func (c *Claim) Begun() bool { return c.snap != nil }

// Untried reports whether another attempt may go to an endpoint that was not
// tried.
func (c *Claim) Untried() bool {
	for i := range c.snap.pick.entries {
		if e := &c.snap.pick.entries[i]; !e.trial && !c.hasTried(e.ep) {
			return true
		}
	}

	return false
}

// Allow permits another attempt at an endpoint that was tried.
func (c *Claim) Allow(ep *Endpoint) {
	c.tried = slices.DeleteFunc(c.tried, func(tried *Endpoint) bool { return tried == ep })
}

func (c *Claim) hasTried(ep *Endpoint) bool { return slices.Contains(c.tried, ep) }

// expired reports whether the request's deadline has passed.
func (c *Claim) expired() bool { return !c.Deadline.IsZero() && !time.Now().Before(c.Deadline) }

// limit shortens a wait so that it ends at the request's deadline.
func (c *Claim) limit(d time.Duration) time.Duration {
	if c.Deadline.IsZero() {
		return d
	}

	return min(d, time.Until(c.Deadline))
}
