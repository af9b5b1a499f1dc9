package proxy

import (
	"time"

	"github.com/pillion-lb/pillion/proxy/auth"
	"github.com/pillion-lb/pillion/proxy/history"
	"github.com/pillion-lb/pillion/proxy/limit"
)

// remember adds a request that has ended to the history. Tunnels are left out,
// because their durations only show how long pages were open.
func (x *exchange) remember() {
	r := &x.record
	now, took := r.Start.Add(r.Duration), r.Duration
	if x.upgrade {
		took = -1
	}

	x.p.history.Add(now, took, r.failure() != "")
	x.p.history.InFlight(now, x.p.active.Load())
}

// Traffic returns the status page's numbers of all requests.
func (p *Proxy) Traffic() history.Traffic {
	now := time.Now()
	t := history.Traffic{Services: []history.Service{}}
	t.InFlight, t.Tunnels = p.Active()
	if p.history != nil {
		recent := p.history.Recent(now, p.begun)
		t.Recent, t.Plot = &recent, p.history.Plot(now)
	}

	for _, s := range p.services {
		cfg := s.Config()
		of := history.Service{
			Limit: cfg.MaxInFlight, Waiting: s.Waiting(), RetryBudget: s.Budget(now),
		}
		if p.cfg.NamesServices() {
			of.Name = s.title()
		}
		t.Services = append(t.Services, of)
	}

	if p.metrics != nil {
		t.Sessions = p.metrics.byWord("lb.affinity.verdicts")
		t.Retries = p.metrics.byWord("lb.retries")
		t.Ejections = p.metrics.byWord("lb.ejections")
		t.Refused = p.metrics.byWord("lb.access.refused")
	}

	return t
}

// byWord returns the counts of a counter of counterTexts by its attribute, for
// all services together.
func (n *metrics) byWord(counter string) map[string]int64 {
	counts := map[string]int64{}
	n.counters.each(func(k counterKey, s *attributeSet) {
		if c := s.count.Load(); k.counter == counter && c > 0 {
			counts[k.value] += c
		}
	})

	return counts
}

// Access returns what the status page shows of who may come in: the keys that
// tokens are verified by, and the limits; nil where there are none.
func (p *Proxy) Access() ([]auth.State, *limit.States) {
	now := time.Now()
	var keys []auth.State
	if p.keys != nil {
		keys = p.keys.States(now)
	}

	return keys, p.limits.states(now)
}
