package proxy

import (
	"time"
)

// A neighbour container that starts later than we do refuses connections at first. Its requests are held instead of
// answered with an error: only while no endpoint of the service has ever accepted a connection, and not for long.

// holdPause is how long a held request waits before it dials again.
const holdPause = 100 * time.Millisecond

// defaultHold is LB_START_HOLD for backends on loopback.
const defaultHold = 10 * time.Second

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
