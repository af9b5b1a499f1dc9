package auth

import (
	"bytes"
	"cmp"
	"context"
	"sync"
	"time"
)

const (
	// stale is how long a key set is used after it is no longer fresh, while
	// its issuer can't be reached.
	stale = 24 * time.Hour
	// firstWait is how long a request waits for the first keys, and kidWait for
	// a key with a new id.
	firstWait = 5 * time.Second
	kidWait   = 2 * time.Second
	// betweenFetches is the least time between two fetches while there are
	// keys. So a client that invents key ids can't cause more fetches. Without
	// keys, no request can be served, and the time is one second.
	betweenFetches = 10 * time.Second
	betweenTries   = time.Second
)

// keySet holds the keys of one issuer. Safe for concurrent use.
type keySet struct {
	owner *Keys
	name  string // for logs and metrics
	place place

	mu      sync.Mutex
	list    *keyList      // nil before the first good fetch
	text    []byte        // from which list was made
	got     time.Time     // when it was fetched, by the wall clock
	fresh   time.Duration // from then on
	began   time.Time     // when the last fetch began
	running chan struct{} // closed when that fetch ends; nil if none is in progress
	failed  error         // of the last fetch; nil if it succeeded
	fetches struct{ ok, failed int64 }
}

// wall removes the monotonic reading of a time. The monotonic clock may stand
// still while the platform has stopped the process.
func wall(t time.Time) time.Time { return t.Round(0) }

// current returns the keys if they may be used, or nil if there are none or
// they are too old. Keys that are no longer fresh are still returned, and are
// fetched again in the background.
func (s *keySet) current(now time.Time) *keyList {
	now = wall(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	age := now.Sub(s.got)
	if s.list == nil || age < 0 || age >= s.fresh {
		s.begin(now)
	}
	if age >= s.fresh+stale {
		return nil
	}

	return s.list
}

// usable is current, but waits if there were never any keys.
func (s *keySet) usable(ctx context.Context, now time.Time) *keyList {
	if list := s.current(now); list != nil {
		return list
	}

	now = wall(now)
	s.mu.Lock()
	running, wait := s.running, firstWait
	if s.failed != nil {
		wait = kidWait // later requests wait less for an issuer that does not answer
	}
	s.mu.Unlock()

	await(ctx, running, wait)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list == nil || now.Sub(s.got) >= s.fresh+stale {
		return nil
	}

	return s.list
}

// renewed fetches the keys, because list does not have the key id of a token,
// and returns them. It returns list itself if no fetch may begin now.
func (s *keySet) renewed(ctx context.Context, now time.Time, list *keyList) *keyList {
	s.mu.Lock()
	if s.list != list { // another request has fetched them meanwhile
		defer s.mu.Unlock()
		return s.list
	}
	s.begin(wall(now))
	running := s.running
	s.mu.Unlock()

	await(ctx, running, kidWait)
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.list
}

// await waits for a fetch, which may be nil.
func await(ctx context.Context, running <-chan struct{}, limit time.Duration) {
	if running == nil {
		return
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-running:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// begin begins a fetch, unless one is in progress or began a short time ago. A
// fetch that is over its time limit counts as lost, because the process was
// stopped meanwhile. The caller holds the mutex.
func (s *keySet) begin(now time.Time) {
	pause := betweenTries
	if s.list != nil && now.Sub(s.got) < s.fresh+stale {
		pause = betweenFetches
	}
	since := now.Sub(s.began)
	if s.running != nil {
		pause = 2 * fetchLimit
	}
	// A request may have begun shortly before the fetch did. A clock that was
	// set back must not prevent fetches, so only small differences count.
	if !s.began.IsZero() && -pause < since && since < pause {
		return
	}

	done := make(chan struct{})
	if s.owner.spawn(func(ctx context.Context) { s.fetch(ctx, done) }) {
		s.began, s.running = now, done
	}
}

// fetch fetches the keys, and ends the waits for them.
func (s *keySet) fetch(ctx context.Context, done chan struct{}) {
	f, err := s.place.fetch(ctx, s.owner.client)
	var keys []key
	var unusable int
	if err == nil {
		keys, unusable, err = parseKeys(f.text)
	}
	s.take(f, keys, err, done)

	switch {
	case ctx.Err() != nil:
	case err != nil:
		s.owner.log.Warn("keys for tokens cannot be fetched", "provider", s.name, "error", err.Error())
	default:
		s.owner.log.Debug("keys for tokens were fetched",
			"provider", s.name, "keys", len(keys), "unusable", unusable)
	}
}

// take notes the result of a fetch.
func (s *keySet) take(f fetched, keys []key, err error, done chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(done)
	if s.running == done {
		s.running = nil
	}
	if s.failed = err; err != nil {
		s.fetches.failed++
		return
	}

	s.fetches.ok++
	s.got, s.fresh = wall(time.Now()), f.fresh
	if s.list != nil && bytes.Equal(s.text, f.text) && s.list.issuer == f.issuer {
		return // the keys are the same, so verified tokens stay verified
	}
	version := uint64(1)
	if s.list != nil {
		version = s.list.version + 1
	}
	s.list, s.text = &keyList{f.issuer, keys, version}, f.text
}

// State is the state of a provider's keys.
type State struct {
	Provider string   `json:"provider"`        // iap, google, firebase, or an issuer's URL
	Keys     int      `json:"keys"`            // that signatures can be verified by
	Age      *float64 `json:"age_seconds"`     // since the last good fetch; nil: there was none
	Error    string   `json:"error,omitempty"` // of the newest fetch; "": it succeeded
	Fetched  int64    `json:"fetched"`         // fetches
	Failed   int64    `json:"failed"`
}

// with is the state of two key sets of one provider: the older one's age, and
// whatever is wrong.
func (s State) with(other State) State {
	s.Keys += other.Keys
	s.Fetched, s.Failed = s.Fetched+other.Fetched, s.Failed+other.Failed
	s.Error = cmp.Or(s.Error, other.Error)
	if s.Age == nil || other.Age != nil && *other.Age > *s.Age {
		s.Age = other.Age
	}

	return s
}

func (s *keySet) state(now time.Time) State {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := State{Provider: s.name, Fetched: s.fetches.ok, Failed: s.fetches.failed}
	if s.list != nil {
		age := wall(now).Sub(s.got).Seconds()
		state.Age, state.Keys = &age, len(s.list.keys)
	}
	if s.failed != nil {
		state.Error = s.failed.Error()
	}

	return state
}
