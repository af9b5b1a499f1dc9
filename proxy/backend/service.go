package backend

import (
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery"
	"github.com/pillion-lb/pillion/proxy/affinity"
)

// Service is one backend service: its endpoints, their health, and the rules
// for choosing among them. Several services are several values of this type.
type Service struct {
	cfg      config.Service
	log      *slog.Logger
	tokens   Tokens           // nil: no identity
	affinity *affinity.Signer // nil without session affinity
	dial     func(discovery.Backend) (http1, http2 Transport)
	budget   budget
	queue    queue

	snapshot atomic.Pointer[snapshot] // nil before the first publication
	first    chan struct{}            // closed at the first publication

	mu        sync.Mutex // held by everything that changes endpoints
	endpoints map[string]*Endpoint
	leaving   []leaving
	published []discovery.Backend
	changed   chan struct{} // signals the prober that endpoints has changed
	inPanic   bool

	// untrustedClients, histories and stallTimeout are the Options of these
	// names.
	untrustedClients bool
	histories        bool
	stallTimeout     time.Duration
	begun            time.Time

	// until then, refused connections may be those of a backend that starts
	startsUntil     time.Time
	started         atomic.Bool // an endpoint has accepted a connection
	startWaiting    atomic.Int64
	redialled       atomic.Int64 // when a waiting request last dialled again, in Unix nanoseconds
	startWaitLogged atomic.Bool  // whether it was logged
	turn            atomic.Uint64

	several       atomic.Bool // more than one name was ever published
	behindRun     atomic.Bool // an endpoint is a Cloud Run service whose cookies are carried
	carrierLogged atomic.Bool // whether it was logged that cookies are too long
}

// Update takes a publication of discovery. A backend that stays keeps its live
// endpoint. A new one gets an endpoint. One that is gone finishes its requests
// and gets no more. Publishing the same set again changes nothing.
func (s *Service) Update(backends []discovery.Backend) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.endpoints != nil && slices.Equal(backends, s.published) {
		return
	}

	now := time.Now()
	old := s.endpoints
	s.endpoints = make(map[string]*Endpoint, len(backends))

	for _, b := range backends {
		ep := old[b.Name]
		if ep == nil || !sameServer(ep.server, b) {
			ep = s.newEndpoint(b)
			s.enter(ep, old[b.Name], now)
		}
		s.endpoints[b.Name] = ep
	}

	s.dropFinished()
	for name, ep := range old {
		if s.endpoints[name] != ep {
			s.retire(ep, now)
			ep.http1.CloseIdle()
			ep.http2.CloseIdle()
			s.log.Info("backend left", "backend", name, "in_flight", ep.inFlight.Load())
		}
	}

	s.published = backends
	s.noteSeveral(old)
	if old == nil {
		// Set before the snapshot is stored: requests read it without the
		// mutex.
		s.startsUntil = now.Add(s.startWait())
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

// noteSeveral notes that there is a choice between names, now or by a change
// from old. The caller holds the mutex.
func (s *Service) noteSeveral(old map[string]*Endpoint) {
	several := len(s.endpoints) > 1
	for name := range s.endpoints {
		_, known := old[name]
		several = several || len(old) > 0 && !known
	}
	if several {
		s.several.Store(true)
	}
}

// enter logs a new endpoint and starts its slow start. The endpoints of the
// first publication have none.
func (s *Service) enter(ep, before *Endpoint, now time.Time) {
	if s.snapshot.Load() == nil {
		return
	}
	if s.cfg.Health.SlowStart > 0 {
		ep.health.slowStartAt = now
	}

	if before == nil {
		s.log.Info("backend joined", "backend", ep.Name, "address", ep.server.Address)
	} else {
		s.log.Info("backend changed", "backend", ep.Name, "address", ep.server.Address)
	}
}

// current returns the snapshot for a request that begins now, or nil before the
// first publication.
//
// The clock alone may have changed who is eligible: an ejection is over, or a
// verdict is too old. Then a new snapshot is built here. A timer can't do that,
// because the platform may stop timers.
func (s *Service) current(now time.Time) *snapshot {
	snap := s.snapshot.Load()
	if snap == nil ||
		now.UnixNano() < snap.until && (s.affinity == nil || snap.ring == s.affinity.Ring(now)) {
		return snap
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.snapshot.Load() == snap {
		s.rebuild(now)
	}

	return s.snapshot.Load()
}

// rebuild stores a new snapshot of the endpoints. The caller holds the mutex.
func (s *Service) rebuild(now time.Time) {
	snap := &snapshot{entries: make([]entry, len(s.published)), until: math.MaxInt64}
	for i, b := range s.published {
		snap.entries[i] = s.entry(s.endpoints[b.Name], b, now, &snap.until)
	}

	s.fillPicker(snap)
	if s.affinity != nil {
		snap.ring = s.affinity.Ring(now)
		snap.sessions = snap.ring.Index(snap.names())
	}

	s.logPanic(snap)
	s.snapshot.Store(snap)
	s.queue.dispatchAll()
}

// entry returns what the endpoint may be used for now. It moves until to the
// next moment at which the clock changes that.
func (s *Service) entry(ep *Endpoint, b discovery.Backend, now time.Time, until *int64) entry {
	h := &ep.health
	e := entry{ep: ep, weight: b.Weight, priority: b.Priority}
	changesAt := func(t time.Time) {
		if t.After(now) {
			*until = min(*until, t.UnixNano())
		}
	}
	v := h.fresh(now, verdictLife(s.cfg.Health))
	if v != unknown {
		changesAt(h.verdictAt.Add(verdictLife(s.cfg.Health) + time.Nanosecond))
	}

	switch {
	case v == unhealthy:
	case h.ejected.Load() && now.Before(h.until):
		changesAt(h.until)
	case h.ejected.Load():
		e.trial = true
	default:
		e.usable = true
	}

	e.weight = s.slowStartWeight(h, e.weight, now, changesAt)
	return e
}

// fillPicker decides which endpoints may get new sessions: the eligible ones of
// the best priority, or all of them if too few are usable.
func (s *Service) fillPicker(snap *snapshot) {
	var eligible, all []entry
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
			eligible = append(eligible, e)
		}
		if e.usable {
			best = min(best, e.priority)
		}
	}

	snap.panic = counted > 0 && float64(usable) <= s.cfg.Health.Panic*float64(counted) &&
		usable < counted
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

	preferred := eligible[:0]
	for _, e := range eligible {
		if e.priority <= best {
			preferred = append(preferred, e)
		}
	}

	snap.pick = newPicker(preferred, s.cfg.Policy, &s.turn)
}

func (s *Service) logPanic(snap *snapshot) {
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

// slowStartWeight returns the weight of an endpoint, which grows from a tenth
// to the whole during its slow start. With LB_SLOW_START set, every weight is
// scaled by 10, so that a starting endpoint can have a tenth of its share.
func (s *Service) slowStartWeight(
	h *health, weight int, now time.Time, changesAt func(time.Time),
) int {
	if s.cfg.Health.SlowStart == 0 {
		return weight
	}

	weight *= 10
	age := now.Sub(h.slowStartAt)
	if h.slowStartAt.IsZero() || age >= s.cfg.Health.SlowStart {
		return weight
	}

	step := s.cfg.Health.SlowStart / 10
	changesAt(now.Add(step))
	return max(
		weight/10, int(int64(weight)*int64(age)/int64(s.cfg.Health.SlowStart)), min(weight, 1),
	)
}

// Config returns the service's settings. They are read-only.
func (s *Service) Config() *config.Service { return &s.cfg }

// Spend pays for a retry, if the service's budget allows one.
func (s *Service) Spend(now time.Time) bool { return s.budget.take(now) }

// Budget returns how many retries may be made now.
func (s *Service) Budget(now time.Time) float64 { return s.budget.left(now) }

// Waiting returns the number of claims in the queue.
func (s *Service) Waiting() int64 { return s.queue.waiting.Load() }
