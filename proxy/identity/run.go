package identity

import (
	"context"
	"maps"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// longestPause is the pause between failed fetches at most. Requests fail meanwhile, so it is short.
	longestPause = 10 * time.Second
	// step is the longest that Run sleeps without asking the clock: timers stand still while the platform takes the
	// CPU away or the machine sleeps.
	step = 5 * time.Second
	// forgetAfter is how long an audience without a token is remembered, with what is known of its failures.
	forgetAfter = 10 * time.Minute
)

// Run fetches tokens as they are wanted and before they expire, until ctx ends; then it waits for the fetches in
// progress and returns nil.
func (s *Source) Run(ctx context.Context) error {
	var fetches sync.WaitGroup
	defer fetches.Wait()
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

// due returns the entries to fetch now, marked as being fetched, and when to look again; a zero time is "when
// roused". Entries that nobody has asked for in a long time are forgotten.
func (s *Source) due(now time.Time) (due []*entry, next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.off.Load() {
		s.release()
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

// release ends the waits of those who wanted a token before it was known that there are none. The caller holds mu.
func (s *Source) release() {
	for _, e := range *s.entries.Load() {
		if e.fetched != nil && !e.fetching {
			close(e.fetched)
			e.fetched = nil
		}
	}
}

// begin marks e as being fetched. The caller holds the Source's mu.
func (e *entry) begin(now time.Time) *entry {
	e.fetching, e.tried = true, now
	if e.fetched == nil {
		e.fetched = make(chan struct{})
	}
	e.used.Store(false)
	return e
}

// idle reports whether e has no token to serve and was of no use for ten minutes. The caller holds the Source's mu.
func (e *entry) idle(now time.Time) bool {
	t := e.token.Load()
	return e.fetched == nil && !t.valid(now) && now.Sub(e.tried) > forgetAfter
}

// dueAt is when to look at e again, or to fetch it if that is not after now. The caller holds the Source's mu.
func (e *entry) dueAt(now time.Time) time.Time {
	t := e.token.Load()
	switch {
	case e.fetched != nil: // somebody waits, or a 401 forces it
		return now
	case !t.valid(now): // the next request will ask
		return now.Add(forgetAfter)
	case e.used.Load():
		return latest(t.refresh, e.retry)
	}
	return latest(t.refresh, now.Add(step)) // unless somebody asks, it may expire
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

// fetch gets a new token for e and tells who waits.
func (s *Source) fetch(ctx context.Context, e *entry) {
	t, err := s.try(ctx, e.audience)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case ctx.Err() != nil || s.off.Load():
	case err != nil:
		s.failed(e, err)
	default:
		s.succeeded(e, t)
	}
	e.fetching = false
	close(e.fetched)
	e.fetched = nil
	s.rouse()
}

// succeeded takes a new token. The caller holds mu.
func (s *Source) succeeded(e *entry, t *token) {
	if e.err != nil {
		s.log.Info("identity tokens can be had again", "audience", e.audience)
	}
	e.token.Store(t)
	e.failures, e.err, e.state, e.retry = 0, nil, "", time.Time{}
}

// try makes one attempt within its deadline. Where it is still open whether there are tokens at all, that is asked
// first.
func (s *Source) try(ctx context.Context, audience string) (*token, error) {
	if err := s.decide(ctx); err != nil || s.off.Load() {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, fetchDeadline)
	defer cancel()
	return s.mint.token(ctx, audience)
}

// failed records a failure, logs it if it is of a new kind, and sets the pause before the next fetch: 1 s, doubling.
// The caller holds mu.
func (s *Source) failed(e *entry, err error) {
	e.failures++
	pause := min(time.Second<<min(e.failures-1, 10), longestPause)
	e.retry = wallClock().Add(time.Duration(float64(pause) * (0.9 + 0.2*rand.Float64())))
	if state := stateOf(err); e.err == nil || e.state != state {
		e.state = state
		s.log.Warn("no identity token can be had", "audience", e.audience, "error", err,
			"old_token_valid", e.token.Load().valid(wallClock()))
	}
	e.err = err
}
