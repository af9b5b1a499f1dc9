package proxy

import (
	"slices"
	"time"
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
