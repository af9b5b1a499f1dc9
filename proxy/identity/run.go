package identity

import (
	"context"
	"maps"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// longestPause is the longest pause between failed fetches. It is short,
	// because requests fail meanwhile.
	longestPause = 10 * time.Second
	// step is the longest time that Run sleeps without reading the clock,
	// because timers stand still while the platform stops the CPU or the
	// machine sleeps.
	step = 5 * time.Second
	// forgetAfter is how long an audience without a token is kept, with its
	// failures.
	forgetAfter = 10 * time.Minute
)

// Run fetches tokens when they are wanted and before they expire. When ctx
// ends, it waits for the fetches in progress and returns nil.
func (s *Source) Run(ctx context.Context) error {
	var fetches sync.WaitGroup
	defer fetches.Wait()
	fetches.Go(func() { s.decide(ctx) })
	for {
		due, next := s.due(wallClock())
		for _, e := range due {
			fetches.Go(func() { s.fetch(ctx, e) })
		}

		var tick <-chan time.Time
		var timer *time.Timer
		if !next.IsZero() {
			timer = time.NewTimer(min(max(next.Sub(wallClock()), 0), step))
			tick = timer.C
		}

		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-tick:
		}

		if timer != nil {
			timer.Stop()
		}
	}
}

// due returns the entries to fetch now, marked as being fetched, and when to
// look again; zero means after rouse. It drops entries that were unused for a
// long time.
func (s *Source) due(now time.Time) (due []*entry, next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.currentMode() != on {
		return nil, time.Time{}
	}

	for audience, e := range *s.entries.Load() {
		if e.fetching {
			continue
		}

		if e.idle(now) {
			s.forget(audience)
			continue
		}

		switch at := e.dueAt(now); {
		case !at.After(now):
			due = append(due, e.begin(now))
		case next.IsZero() || at.Before(next):
			next = at
		}
	}

	return due, next
}

// begin marks e as being fetched. The caller holds the Source's mu.
func (e *entry) begin(now time.Time) *entry {
	e.fetching, e.tried = true, now
	e.wait()
	e.used.Store(false)
	return e
}

// idle reports whether e has no usable token and was not used for ten minutes.
// The caller holds the Source's mu.
func (e *entry) idle(now time.Time) bool {
	t := e.token.Load()
	return e.fetched == nil && !t.valid(now) && now.Sub(e.tried) > forgetAfter
}

// dueAt returns when to look at e again. If that is not after now, the token
// has to be fetched. The caller holds the Source's mu.
func (e *entry) dueAt(now time.Time) time.Time {
	t := e.token.Load()
	switch {
	case e.fetched != nil: // a request waits, or a 401 forces it
		return now
	case !t.valid(now): // the next request will ask
		return now.Add(forgetAfter)
	case e.used.Load():
		return latest(t.refresh, e.retry)
	}

	return latest(t.refresh, now.Add(step)) // an unused token may expire
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (s *Source) forget(audience string) {
	entries := maps.Clone(*s.entries.Load())
	delete(entries, audience)
	s.entries.Store(&entries)
}

// fetch gets a new token for e and ends the waits for it.
func (s *Source) fetch(ctx context.Context, e *entry) {
	t, err := s.mint.token(ctx, e.audience)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case ctx.Err() != nil:
	case err != nil:
		s.failed(e, err)
	default:
		s.succeeded(e, t)
	}

	e.fetching = false
	e.release()
	s.rouse()
}

// succeeded stores a new token. The caller holds mu.
func (s *Source) succeeded(e *entry, t *token) {
	if e.err != nil {
		s.log.Info("identity tokens can be had again", "audience", e.audience)
	}

	e.token.Store(t)
	e.failures, e.err, e.state, e.retry = 0, nil, "", time.Time{}
}

// failed records a failure, logs it if it is of a new kind, and sets the pause
// before the next fetch. The caller holds mu.
func (s *Source) failed(e *entry, err error) {
	e.failures++
	e.retry = wallClock().Add(pauseAfter(e.failures))
	if state := stateOf(err); e.err == nil || e.state != state {
		e.state = state
		s.log.Warn("no identity token can be had", "audience", e.audience, "error", err,
			"old_token_valid", e.token.Load().valid(wallClock()))
	}

	e.err = err
}

// pauseAfter returns the pause after a number of failures in a row: 1 s,
// doubled each time, with jitter.
func pauseAfter(failures int) time.Duration {
	pause := min(time.Second<<min(failures-1, 10), longestPause)
	return time.Duration(float64(pause) * (0.9 + 0.2*rand.Float64()))
}
