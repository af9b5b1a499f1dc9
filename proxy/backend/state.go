package backend

import (
	"slices"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/history"
)

// State is one endpoint at one moment, as the status page and its JSON show it.
type State struct {
	Service      string    `json:"service,omitempty"` // where there are several
	Name         string    `json:"name"`
	Address      string    `json:"address"`
	Source       string    `json:"source,omitempty"` // the item of LB_BACKENDS that it came from
	State        string    `json:"state"`            // Eligible, Draining, Unhealthy or Ejected
	Reason       string    `json:"reason,omitempty"` // why it is in that state, in words
	Since        time.Time `json:"since,omitzero"`   // when it last became usable, or unusable
	Weight       int       `json:"weight"`           // as published, without slow start
	InFlight     int64     `json:"inFlight"`
	Requests     uint64    `json:"requests"`  // attempts since it joined
	Failures     uint64    `json:"failures"`  // attempts that failed or got a server error
	Ejections    int       `json:"ejections"` // in a row
	EjectedUntil time.Time `json:"ejectedUntil,omitzero"`
	LastProbe    Probe     `json:"lastProbe,omitzero"`

	FailuresInRow int64 `json:"failuresInRow"` // since the last success
	Failing       bool  `json:"failing"`       // in use although it fails, as the last one
	// out, and used all the same (LB_PANIC_THRESHOLD)
	Panic       bool      `json:"panic"`
	LastError   string    `json:"lastError,omitempty"` // of the last attempt that failed
	LastErrorAt time.Time `json:"lastErrorAt,omitzero"`

	// What happened in the last minute and in the last ten; nil without a
	// status page.
	Recent *history.Recent `json:"recent,omitempty"`
	Plot   *history.Plot   `json:"plot,omitempty"`

	Idle    int  `json:"-"` // idle HTTP/1.1 connections
	Leaving bool `json:"-"` // no longer published, and finishing its requests
}

// Probe is the last probe of an endpoint. The zero value is none.
type Probe struct {
	At      time.Time `json:"at,omitzero"`
	Healthy bool      `json:"healthy"`
	Result  string    `json:"result,omitempty"` // in words: "200", "connection refused"
}

// The states of an endpoint.
const (
	Eligible  = "eligible"
	Draining  = "draining"
	Unhealthy = "unhealthy"
	Ejected   = "ejected"
)

// States returns the state of every endpoint, sorted by name: of the published
// ones, and of those that are leaving and have requests in flight. It is never
// nil. It holds the writers' mutex for a moment, which requests don't need.
func (s *Service) States() []State {
	now := time.Now()
	snap := s.current(now)
	if snap == nil {
		return []State{}
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	states := make([]State, 0, len(s.published)+len(s.leaving))
	for _, b := range s.published {
		st := s.endpoints[b.Name].state(b.Weight, now, s.cfg.Health)
		st.Source = b.Source
		if snap.panic && st.State != Eligible && st.State != Draining {
			st.Panic = true
			st.Reason += "; used all the same, too few backends are left"
		}
		st.Failing = st.State == Eligible && st.FailuresInRow >= failingAfter
		if s.histories {
			st.Recent, st.Plot = s.endpoints[b.Name].remembered(s.begun, now)
		}
		states = append(states, st)
	}

	s.dropFinished()
	for _, d := range s.leaving {
		states = append(states, d.state())
	}

	slices.SortStableFunc(states, func(a, b State) int { return strings.Compare(a.Name, b.Name) })

	return states
}

// failingAfter is how many failures in a row make an endpoint that stays in use
// a failing one.
const failingAfter = 3

// state describes an endpoint that is leaving.
func (d leaving) state() State {
	return State{
		Name:     d.ep.Name,
		Address:  d.ep.server.Address,
		State:    Draining,
		Reason:   "published no more: it finishes what it has",
		Since:    d.since,
		InFlight: d.ep.inFlight.Load(),
		Requests: d.ep.requests.Load(),
		Failures: d.ep.failures.Load(),
		Leaving:  true,
	}
}

// state describes the endpoint. The caller holds the service's mutex.
func (ep *Endpoint) state(weight int, now time.Time, cfg config.Health) State {
	h := &ep.health
	st := State{
		Name: ep.Name, Address: ep.server.Address, Since: h.since, Weight: weight,
		InFlight: ep.inFlight.Load(), Idle: ep.http1.Idle(),
		Requests: ep.requests.Load(), Failures: ep.failures.Load(), Ejections: h.ejections,
		LastProbe: Probe{At: h.verdictAt, Healthy: h.passed, Result: h.why},

		FailuresInRow: h.failuresInRow.Load(),
	}
	if f := ep.lastFailure.Load(); f != nil {
		st.LastError, st.LastErrorAt = f.text, f.at
	}

	v := h.fresh(now, verdictLife(cfg))
	switch {
	case v == unhealthy:
		st.State, st.Reason = Unhealthy, "probe: "+h.why
	case h.ejected.Load():
		st.State, st.Reason = Ejected, h.ejectedText(now)
	case weight == 0:
		st.State, st.Reason = Draining, "weight 0: no new sessions"
	default:
		st.State, st.Reason = Eligible, h.eligibleText(v, now.Sub(h.slowStartAt) < cfg.SlowStart)
	}

	if h.ejected.Load() {
		st.EjectedUntil = h.until
	}

	return st
}

// ejectedText returns why the endpoint is ejected, and until when.
func (h *health) ejectedText(now time.Time) string {
	if now.Before(h.until) {
		return h.fault.reason + "; ejected until " + h.until.UTC().Format(time.RFC3339)
	}
	return h.fault.reason + "; waiting for a trial request"
}

// eligibleText returns what is known in favour of an endpoint in use.
func (h *health) eligibleText(v verdict, ramping bool) string {
	var words []string
	switch {
	case h.verdict != unknown && v == unknown:
		words = append(words, "the last probe is too old to count")
	case v == healthy && !h.passed:
		words = append(words, "last probe: "+h.why)
	case v == healthy:
		words = append(words, "probe: "+h.why)
	}

	if ramping {
		words = append(words, "in its slow start")
	}

	return strings.Join(words, "; ")
}
