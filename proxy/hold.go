package proxy

import (
	"errors"
	"net/http"
	"syscall"
	"time"
)

// A neighbour container that starts later than we do refuses connections at first. Its requests are held instead of
// answered with an error: only while no endpoint of the service has ever accepted a connection, not for long, and not
// more of them than may stand in the queue.

// holdPause is how long a held request waits before it asks whether it may dial again.
const holdPause = 100 * time.Millisecond

// knockPause is the least time between two held requests that dial again.
const knockPause = 20 * time.Millisecond

// defaultHold is LB_START_HOLD for backends on loopback.
const defaultHold = 10 * time.Second

// mostHeld bounds the requests that are held at once where no LB_QUEUE_SIZE and no LB_MAX_IN_FLIGHT does.
const mostHeld = 1000

// startHold is for how long after the first publication refused connections are held. The caller holds the mutex.
func (s *service) startHold() time.Duration {
	if s.cfg.StartHold >= 0 {
		return s.cfg.StartHold
	}
	for _, ep := range s.endpoints {
		if !ep.loopback {
			return 0
		}
	}
	return defaultHold
}

// holds reports whether a request that no endpoint accepted should wait and try again.
func (s *service) holds(now time.Time) bool {
	snap := s.snapshot.Load()
	if snap == nil || s.started.Load() || !now.Before(s.hold) {
		return false
	}
	for i := range snap.entries {
		if snap.entries[i].ep.accepted.Load() {
			s.started.Store(true)
			return false
		}
	}
	return true
}

// hold keeps a request that no endpoint accepted for a moment, after which all may be tried again. It reports false
// when it is not, or no longer, to be held.
func (x *exchange) hold() bool {
	s := x.p.service
	if !s.holds(time.Now()) || !errors.Is(x.cause, syscall.ECONNREFUSED) {
		return false
	}
	if !s.holding.Swap(true) {
		s.log.Info("no backend accepts connections yet, requests are held", "backend", x.record.Backend, "until", s.hold)
	}
	most := int64(mostHeld)
	if s.queue.size > 0 {
		most = int64(s.queue.size * max(1, len(x.snap.entries)))
	}
	defer s.held.Add(-1)
	if s.held.Add(1) > most {
		return false
	}
	for knocks := false; !knocks && s.holds(time.Now()); knocks = s.mayKnock(time.Now()) {
		if !x.standBy() {
			return false
		}
	}
	x.ntried, x.free = 0, 0
	return true
}

// standBy lets a held request wait for a moment. It reports false when the request ended meanwhile, and notes how.
func (x *exchange) standBy() bool {
	wait := holdPause
	if !x.deadline.IsZero() {
		wait = min(wait, time.Until(x.deadline))
	}
	if !x.sleep(wait, "hold") {
		return false
	}
	if x.expired() {
		x.last, x.cause = ending{http.StatusGatewayTimeout, "us", "hold"}, errTimeout
		return false
	}
	return true
}

// mayKnock lets a few of the held requests dial again for all of them: a neighbour that is starting needs the CPU that
// a crowd at its door would take. The others see by the first connection that is accepted that they can go on.
func (s *service) mayKnock(now time.Time) bool {
	last := s.knocked.Load()
	return now.UnixNano()-last >= int64(knockPause) && s.knocked.CompareAndSwap(last, now.UnixNano())
}
