package proxy

import (
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery"
)

// service is one backend service: its endpoints, their health, and the rules for choosing among them. Several services
// would be several values of this type.
type service struct {
	cfg      config.Service
	log      *slog.Logger
	metrics  *metrics
	tokens   Tokens    // nil: probes carry no identity
	affinity *affinity // nil when sessions are not kept
	dial     func(discovery.Backend) (http1, http2 upstream)
	budget   budget
	queue    queue

	snapshot atomic.Pointer[snapshot] // nil until the first publication
	first    chan struct{}            // closed at the first publication

	mu        sync.Mutex // the one writer
	endpoints map[string]*endpoint
	departed  []departed
	published []discovery.Backend
	changed   chan struct{} // tells the prober that the set of endpoints is another
	inPanic   bool
	hold      time.Time   // until when refused connections are held, see holds
	started   atomic.Bool // an endpoint accepted a connection: nothing is held any more
	held      atomic.Int64
	knocked   atomic.Int64 // when a held request last dialled again, in Unix nanoseconds
	holding   atomic.Bool  // said in the log
	turn      atomic.Uint64
}

// Update takes a publication of discovery: a backend that stays keeps its live endpoint, new ones enter, vanished ones
// finish what they have and get nothing more. The same publication again changes nothing.
func (s *service) Update(backends []discovery.Backend) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.endpoints != nil && slices.Equal(backends, s.published) {
		return
	}
	now := time.Now()
	old := s.endpoints
	s.endpoints = make(map[string]*endpoint, len(backends))
	for _, b := range backends {
		ep := old[b.Name]
		if ep == nil || ep.server != server(b) {
			ep = s.newEndpoint(b)
			s.enter(ep, old[b.Name], now)
		}
		s.endpoints[b.Name] = ep
	}
	s.forget()
	for name, ep := range old {
		if s.endpoints[name] != ep {
			s.depart(ep, now)
			ep.http1.CloseIdle()
			ep.http2.CloseIdle()
			s.log.Info("backend left", "backend", name, "in_flight", ep.inFlight.Load())
		}
	}
	s.published = backends
	if old == nil {
		s.hold = now.Add(s.startHold()) // before readers see the snapshot, because they read it without the mutex
	}
	s.rebuild(now)
	if old == nil {
		close(s.first)
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// enter starts an endpoint's life. Those of the first publication are simply there; later ones may ramp up.
func (s *service) enter(ep, before *endpoint, now time.Time) {
	if s.snapshot.Load() == nil {
		return
	}
	if s.cfg.Health.SlowStart > 0 {
		ep.health.ramp = now
	}
	if before == nil {
		s.log.Info("backend joined", "backend", ep.name, "address", ep.server.Address)
	} else {
		s.log.Info("backend changed", "backend", ep.name, "address", ep.server.Address)
	}
}

// view returns the snapshot for a request that begins now; nil before the first publication. Where the clock alone has
// changed who is eligible (an ejection is over, a verdict is stale), it has a new one built first: no timer does it,
// because the platform may stop them.
func (s *service) view(now time.Time) *snapshot {
	snap := s.snapshot.Load()
	if snap == nil || now.UnixNano() < snap.until && (s.affinity == nil || snap.ring == s.affinity.ring(now)) {
		return snap
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.snapshot.Load() == snap {
		s.rebuild(now)
	}
	return s.snapshot.Load()
}

// rebuild publishes a new snapshot of the endpoints as they are. The caller holds the mutex.
func (s *service) rebuild(now time.Time) {
	snap := &snapshot{entries: make([]entry, len(s.published)), until: math.MaxInt64}
	for i, b := range s.published {
		snap.entries[i] = s.entry(s.endpoints[b.Name], b, now, &snap.until)
	}
	s.fillPicker(snap)
	if s.affinity != nil {
		snap.ring = s.affinity.ring(now)
		snap.byID = snap.ring.index(snap.entries)
	}
	s.announcePanic(snap)
	s.snapshot.Store(snap)
	s.queue.review()
}

// entry says what the endpoint may be used for now, and moves until to the moment when the clock changes that.
func (s *service) entry(ep *endpoint, b discovery.Backend, now time.Time, until *int64) entry {
	h := &ep.health
	e := entry{ep: ep, weight: b.Weight, priority: b.Priority}
	soon := func(t time.Time) {
		if t.After(now) {
			*until = min(*until, t.UnixNano())
		}
	}
	v := h.fresh(now, verdictLife(s.cfg.Health))
	if v != unknown {
		soon(h.verdictAt.Add(verdictLife(s.cfg.Health) + time.Nanosecond))
	}
	switch {
	case v == unhealthy:
	case h.ejected.Load() && now.Before(h.until):
		soon(h.until)
	case h.ejected.Load():
		e.trial = true
	default:
		e.usable = true
	}
	e.weight = s.ramped(h, e.weight, now, soon)
	return e
}

// fillPicker decides who may get new sessions: the eligible ones of the best priority that has any; all of them when
// too few are left.
func (s *service) fillPicker(snap *snapshot) {
	var fit, all []entry
	usable, counted, best := 0, 0, math.MaxInt
	for _, e := range snap.entries {
		if e.weight == 0 {
			continue
		}
		counted++
		all = append(all, e)
		if e.usable {
			usable++
		}
		if e.usable || e.trial {
			fit = append(fit, e)
		}
		if e.usable {
			best = min(best, e.priority)
		}
	}
	snap.panic = counted > 0 && float64(usable) <= s.cfg.Health.Panic*float64(counted) && usable < counted
	for i := range snap.entries {
		e := &snap.entries[i]
		e.spare = e.priority > best && e.weight > 0
		e.trial = e.trial && !snap.panic
	}
	if snap.panic {
		for i := range all {
			all[i].trial = false
		}
		snap.pick = newPicker(all, s.cfg.Policy, &s.turn)
		return
	}
	kept := fit[:0]
	for _, e := range fit {
		if e.priority <= best {
			kept = append(kept, e)
		}
	}
	snap.pick = newPicker(kept, s.cfg.Policy, &s.turn)
}

func (s *service) announcePanic(snap *snapshot) {
	if snap.panic == s.inPanic {
		return
	}
	s.inPanic = snap.panic
	if snap.panic {
		s.log.Warn("too few backends are usable, using all of them", "backends", len(snap.entries))
	} else {
		s.log.Info("enough backends are usable again", "backends", len(snap.entries))
	}
}

// ramped is the weight of an endpoint in its slow start: it grows from a tenth to the whole over the time. Weights are
// multiplied by ten for everybody while anybody ramps up, which the caller sees to by LB_SLOW_START alone.
func (s *service) ramped(h *health, weight int, now time.Time, soon func(time.Time)) int {
	if s.cfg.Health.SlowStart == 0 {
		return weight
	}
	weight *= 10
	age := now.Sub(h.ramp)
	if h.ramp.IsZero() || age >= s.cfg.Health.SlowStart {
		return weight
	}
	step := s.cfg.Health.SlowStart / 10
	soon(now.Add(step))
	return max(weight/10, int(int64(weight)*int64(age)/int64(s.cfg.Health.SlowStart)), min(weight, 1))
}
