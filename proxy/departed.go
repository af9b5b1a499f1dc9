package proxy

import (
	"slices"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/proxy/status"
)

// departed is an endpoint whose backend is not published any more, while it finishes what it has.
type departed struct {
	ep    *endpoint
	since time.Time
}

// depart keeps an endpoint in view until it has nothing in flight. The caller holds the mutex.
func (s *service) depart(ep *endpoint, now time.Time) {
	s.departed = append(s.departed, departed{ep, now})
}

// forget takes those out of view that have finished. The caller holds the mutex.
func (s *service) forget() {
	s.departed = slices.DeleteFunc(s.departed, func(d departed) bool { return d.ep.inFlight.Load() == 0 })
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
