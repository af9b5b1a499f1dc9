package proxy

import (
	"slices"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/status"
)

// EndpointState is an endpoint at one moment, as the status page shows it.
type EndpointState struct {
	Name    string
	Address string
	Source  string    // the item of LB_BACKENDS that it came from
	State   string    // "eligible", "draining", "unhealthy" or "ejected"
	Reason  string    // why, in words; "" for an eligible endpoint that nothing was ever said of
	Since   time.Time // when it last became, or ceased to be, usable

	Weight   int   // as published, without slow start
	InFlight int64 // requests in progress
	Idle     int   // idle HTTP/1.1 connections
	Streams  int   // open HTTP/2 connections

	Requests     uint64    // attempts since it joined
	Failures     uint64    // of these, those held against it
	Ejections    int       // in a row
	EjectedUntil time.Time // zero when it is not ejected

	ProbeAt time.Time // of the last active probe; zero without one
	ProbeOK bool
	Probe   string // what the last probe was told, in words
}

// Endpoints returns the state of every endpoint that is published, sorted by name. It is safe for concurrent use and costs
// the requests in progress nothing but a moment of the writers' mutex.
func (p *Proxy) Endpoints() []EndpointState {
	s := p.service
	now := time.Now()
	snap := s.view(now)
	if snap == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	states := make([]EndpointState, 0, len(s.published))
	for _, b := range s.published {
		ep := s.endpoints[b.Name]
		st := ep.state(b.Weight, now, s.cfg.Health)
		st.Source = b.Source
		if snap.panic && st.State != eligible && st.State != draining {
			st.Reason += "; used all the same, too few backends are left"
		}
		states = append(states, st)
	}
	return states
}

// Backends returns the state of every endpoint for the status page, sorted by name: what Endpoints returns, and the
// endpoints that are published no more but have requests in flight. It is never nil.
func (p *Proxy) Backends() []status.Backend {
	states := p.Endpoints()
	list := make([]status.Backend, 0, len(states))
	for _, e := range states {
		list = append(list, status.Backend{
			Name: e.Name, Address: e.Address, Source: e.Source, State: e.State, Reason: e.Reason, Since: e.Since,
			Weight: e.Weight, InFlight: e.InFlight, Requests: e.Requests, Failures: e.Failures,
			Ejections: e.Ejections, EjectedUntil: e.EjectedUntil,
			LastProbe: status.Probe{At: e.ProbeAt, Healthy: e.ProbeOK, Result: e.Probe},
		})
	}
	s := p.service
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget()
	for _, d := range s.departed {
		list = append(list, status.Backend{
			Name: d.ep.name, Address: d.ep.server.Address, State: draining, Since: d.since,
			Reason:   "published no more: it finishes what it has",
			InFlight: d.ep.inFlight.Load(), Requests: d.ep.requests.Load(), Failures: d.ep.failures.Load(),
		})
	}
	slices.SortStableFunc(list, func(a, b status.Backend) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// The states of an endpoint.
const (
	eligible = status.Eligible
	draining = status.Draining
	sick     = status.Unhealthy
	out      = status.Ejected
)

// state describes the endpoint. The caller holds the service's mutex.
func (ep *endpoint) state(weight int, now time.Time, cfg config.Health) EndpointState {
	h := &ep.health
	st := EndpointState{
		Name: ep.name, Address: ep.server.Address, Since: h.since, Weight: weight,
		InFlight: ep.inFlight.Load(), Idle: ep.http1.Idle(), Streams: ep.http2.Idle(),
		Requests: ep.requests.Load(), Failures: ep.failures.Load(), Ejections: h.ejections,
		ProbeAt: h.verdictAt, ProbeOK: h.passed, Probe: h.why,
	}
	v := h.fresh(now, verdictLife(cfg))
	switch {
	case v == unhealthy:
		st.State, st.Reason = sick, "probe: "+h.why
	case h.ejected.Load():
		st.State, st.Reason = out, h.sentenced(now)
	case weight == 0:
		st.State, st.Reason = draining, "weight 0: no new sessions"
	default:
		st.State, st.Reason = eligible, h.fit(v, now.Sub(h.ramp) < cfg.SlowStart)
	}
	if h.ejected.Load() {
		st.EjectedUntil = h.until
	}
	return st
}

// sentenced says why and for how long the endpoint is ejected.
func (h *health) sentenced(now time.Time) string {
	if now.Before(h.until) {
		return h.cause + "; ejected until " + h.until.UTC().Format(time.RFC3339)
	}
	return h.cause + "; waiting for a trial request"
}

// fit says what speaks for an endpoint that is in use.
func (h *health) fit(v verdict, ramping bool) string {
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
