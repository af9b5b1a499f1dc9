package backend

import (
	"errors"
	"syscall"
	"time"
)

// A neighbour container that starts after Pillion refuses connections at first.
// Its requests wait instead of failing. They wait only while no endpoint of the
// service has ever accepted a connection, only for LB_START_HOLD, and no more
// of them than the queue may hold.

// startWaitPause is how long a waiting request waits before it asks whether it
// may dial again.
const startWaitPause = 100 * time.Millisecond

// redialPause is the least time between two waiting requests that dial again.
const redialPause = 20 * time.Millisecond

// defaultStartWait is LB_START_HOLD if all backends are on loopback.
const defaultStartWait = 10 * time.Second

// maxStartWaiting bounds the requests that wait if neither LB_QUEUE_SIZE nor
// LB_MAX_IN_FLIGHT bounds them.
const maxStartWaiting = 1000

// startWait returns how long after the first publication requests may wait for
// a backend that starts. The caller holds the mutex.
func (s *Service) startWait() time.Duration {
	if s.cfg.StartHold >= 0 {
		return s.cfg.StartHold
	}

	for _, ep := range s.endpoints {
		if !ep.loopback {
			return 0
		}
	}

	return defaultStartWait
}

// starting reports whether the service may still be starting, because none of
// its endpoints has accepted a connection.
func (s *Service) starting(now time.Time) bool {
	snap := s.snapshot.Load()
	if snap == nil || s.started.Load() || !now.Before(s.startsUntil) {
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

// AwaitStart keeps a claim waiting whose connections were all refused, if the
// service may still be starting. It reports true if every endpoint may be tried
// again. Otherwise the error is the *Refused that ended the wait, or nil if the
// failure of the last attempt stands. failed is the error of that attempt.
func (s *Service) AwaitStart(c *Claim, failed error) (again bool, _ error) {
	if !s.starting(time.Now()) || !errors.Is(failed, syscall.ECONNREFUSED) {
		return false, nil
	}
	if !s.startWaitLogged.Swap(true) {
		s.log.Info("no backend accepts connections yet, requests are held",
			"backend", c.tried[len(c.tried)-1].Name, "until", s.startsUntil)
	}

	most := int64(maxStartWaiting)
	if s.queue.size > 0 {
		most = int64(s.queue.size * max(1, len(c.snap.entries)))
	}
	defer s.startWaiting.Add(-1)
	if s.startWaiting.Add(1) > most {
		return false, nil
	}

	for redial := false; !redial && s.starting(time.Now()); redial = s.mayRedial(time.Now()) {
		if err := c.waitForStart(); err != nil {
			return false, err
		}
	}

	c.tried = c.tried[:0]

	return true, nil
}

// waitForStart waits for startWaitPause. An error means that the request has
// ended.
func (c *Claim) waitForStart() error {
	t := time.NewTimer(c.limit(startWaitPause))
	defer t.Stop()

	select {
	case <-t.C:
	case <-c.Context.Done():
		return &Refused{ClientGone, "hold"}
	}

	if c.expired() {
		return &Refused{Late, "hold"}
	}

	return nil
}

// mayRedial lets one waiting request per redialPause dial again, so that a
// starting backend is not flooded. The others see when a connection is
// accepted.
func (s *Service) mayRedial(now time.Time) bool {
	last := s.redialled.Load()
	return now.UnixNano()-last >= int64(redialPause) &&
		s.redialled.CompareAndSwap(last, now.UnixNano())
}
