package backend

import (
	"slices"
	"time"
)

// leaving is an endpoint that is no longer published and still has requests in
// flight.
type leaving struct {
	ep    *Endpoint
	since time.Time
}

// retire keeps an endpoint in States until it has no request in flight. The
// caller holds the mutex.
func (s *Service) retire(ep *Endpoint, now time.Time) {
	s.leaving = append(s.leaving, leaving{ep, now})
}

// dropFinished drops the leaving endpoints that have finished. The caller holds
// the mutex.
func (s *Service) dropFinished() {
	s.leaving = slices.DeleteFunc(
		s.leaving, func(d leaving) bool { return d.ep.inFlight.Load() == 0 },
	)
}
