package backend

import (
	"sync/atomic"

	"github.com/pillion-lb/pillion/config"
)

// policy chooses the endpoint of a new session. Each policy is a type in a file
// of its own. To add one, write its file, add its line to newPolicy and its
// name to package config.
//
// TestPolicy_Law holds every policy to the same law. pick never returns an
// endpoint that was tried, nor one whose trial another request has. It returns
// an open entry if there is one. Idle endpoints get requests by their weights.
// pick takes no lock and allocates nothing.
type policy interface {
	// pick returns an entry that is open to a request that has tried some
	// endpoints, or nil if there is none.
	pick(tried []*Endpoint) *entry
}

// newPolicy makes a policy for one set of candidates. turn is a counter that
// outlives the set.
func newPolicy(name config.Policy, c candidates, turn *atomic.Uint64) policy {
	switch name {
	case config.Random2:
		return &random2{c}
	case config.RoundRobin:
		return newRoundRobin(c, turn)
	case config.LeastRequests:
		return &leastRequests{c}
	}

	return &random{c}
}

// Reason is why an attempt went to its endpoint. Spans, metrics and logs have
// it under this name. The reason for a policy's choice is the policy's name.
type Reason string

// The reasons that are not the name of a policy.
const (
	ByCookie Reason = "cookie" // the session's endpoint
	ByRetry  Reason = "retry"  // not the first attempt
	ByPanic  Reason = "panic"  // too few endpoints are usable, so all are used
	ByStrict Reason = "strict" // the session's endpoint, by LB_AFFINITY_STRICT
	ByTrial  Reason = "trial"  // the one request that an ejected endpoint gets
	ByMirror Reason = "mirror" // a copy of a request (LB_MIRROR)
	ByHedge  Reason = "hedge"  // a second request beside one that takes long (LB_HEDGE)
)

// picker chooses among the entries that new sessions may go to.
type picker struct {
	candidates
	name   config.Policy
	policy policy
}

func newPicker(entries []entry, name config.Policy, turn *atomic.Uint64) picker {
	c := newCandidates(entries)
	return picker{candidates: c, name: name, policy: newPolicy(name, c, turn)}
}

// choose returns an entry that a request may go to, or nil if there is none. If
// the entry is on trial, the request has the trial.
func (p *picker) choose(tried []*Endpoint) *entry {
	if len(p.entries) == 0 {
		return nil
	}

	for {
		// Another request may have taken the trial since pick. Then the entry
		// is not open any more.
		if e := p.policy.pick(tried); e == nil || e.admit() {
			return e
		}
	}
}
