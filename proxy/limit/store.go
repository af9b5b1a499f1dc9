package limit

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/config"
)

const (
	// failuresInARow is the number of failures that turn the store off.
	failuresInARow = 3

	// shortestOff and longestOff bound how long the store is off before it is
	// tried again. The time doubles with every try that fails.
	shortestOff = time.Second
	longestOff  = 30 * time.Second

	// silence is the time without an answer after which a connection may have
	// been lost unnoticed, while the process was frozen or idle. Then one
	// failure turns the store off.
	silence = 10 * time.Second

	// mostWaiting bounds the questions in progress, so that a slow store can't
	// make the process hold more and more of them.
	mostWaiting = 512
)

// Result is the result of a question to the store.
type Result uint8

// The results, in the order of Results.
const (
	Answered Result = iota // the store answered
	TimedOut               // it did not answer in time
	Failed                 // it answered with an error, or the connection broke
	Skipped                // it was not asked, because it is off or too many requests wait for it
	results
)

// String returns the result as metrics name it.
func (r Result) String() string {
	return [...]string{"answered", "timed_out", "failed", "skipped"}[r]
}

// Store is the server in which all instances count together. NewStore makes
// one, and Run connects it. Safe for concurrent use.
type Store struct {
	url    *config.Secret // a config.StoreURL
	budget time.Duration
	prefix string
	token  func(context.Context) (string, error)
	log    *slog.Logger

	session atomic.Pointer[session] // nil while the store is off
	wake    chan struct{}           // wakes Run, which connects if it is time for that
	next    atomic.Int64            // when it is time, in Unix nanoseconds
	counts  [results]atomic.Int64

	mu    sync.Mutex
	tries int // tries to connect since the last answer
	state State
}

// State is the state of the store.
type State struct {
	On    bool
	Since time.Time
	Error string // why it is off, or was off last; "" if it has not failed
}

// Options are what the store needs beside the configuration.
type Options struct {
	Logger *slog.Logger
	// Token returns an access token of the service account. nil if there is
	// none.
	Token func(context.Context) (string, error)
}

// NewStore makes the store of a configuration. It returns nil if none is
// configured.
func NewStore(cfg *config.Config, o Options) *Store {
	p := &cfg.Process
	if p.RateLimitStore == nil {
		return nil
	}

	return &Store{
		url: p.RateLimitStore, budget: p.RateLimitTimeout, prefix: cfg.StorePrefix(),
		token: o.Token, log: o.Logger, wake: make(chan struct{}, 1),
		state: State{Since: time.Now()},
	}
}

// State returns the state of the store.
func (s *Store) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.state
}

// Results calls yield with each result and its count.
func (s *Store) Results(yield func(Result, int64) bool) {
	for r := range s.counts {
		if !yield(Result(r), s.counts[r].Load()) {
			return
		}
	}
}

// ask asks the store about a request of a key. It returns how long the request
// is too early. It is not ok if the store has not answered by the deadline.
func (s *Store) ask(
	id []byte, k *Key, r rate, now, deadline time.Time,
) (early time.Duration, ok bool) {
	session := s.session.Load()
	if session == nil {
		s.counts[Skipped].Add(1)
		s.retryIfDue(now)
		return 0, false
	}
	if !now.Before(deadline) || !session.begin() {
		s.counts[Skipped].Add(1)
		return 0, false
	}

	early, err := session.ask(s.key(id, k), r, deadline)
	switch {
	case err == nil:
		s.counts[Answered].Add(1)
		s.answered(session)
		return early, true
	case errors.Is(err, context.DeadlineExceeded):
		s.counts[TimedOut].Add(1)
	case errors.Is(err, errSlow):
		s.counts[TimedOut].Add(1)
		return 0, false
	case errors.Is(err, context.Canceled):
		s.counts[Skipped].Add(1)
	default:
		s.counts[Failed].Add(1)
	}
	s.failed(session, err)

	return 0, false
}

// retryIfDue wakes Run to connect again, if the store has been off for long
// enough.
func (s *Store) retryIfDue(now time.Time) {
	// A clock that was set back must not keep the store off.
	if wait := s.next.Load() - now.UnixNano(); wait > 0 && wait <= int64(longestOff) {
		return
	}
	select {
	case s.wake <- struct{}{}:
	default: // Run was woken already
	}
}

// answered notes an answer of the store.
func (s *Store) answered(session *session) {
	if session.answered() {
		return
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries = 0
}

// failed notes that the store did not answer, and turns it off if that is
// enough.
func (s *Store) failed(session *session, err error) {
	if session.ctx.Err() != nil {
		return // it is off already
	}
	broken := broken(err)
	if n := session.failures.Add(1); n < failuresInARow && !broken && !session.stale(err) {
		return
	}
	if !s.session.CompareAndSwap(session, nil) {
		return
	}

	s.mu.Lock()
	wait := time.Duration(0)
	if !broken && !session.stale(err) || time.Since(session.began) < shortestOff {
		wait = s.pause()
	}
	s.off(err, wait)
	s.mu.Unlock()
	session.end()
}

// pause returns how long the store is off after a failure. The caller holds the
// lock.
func (s *Store) pause() time.Duration {
	d := longestOff
	if s.tries < 5 {
		d = shortestOff << s.tries
	}
	s.tries++

	return d
}

// off notes why the store is off, and for how long it is not tried. It logs
// that if the store was on. The caller holds the lock.
func (s *Store) off(err error, wait time.Duration) {
	s.next.Store(time.Now().Add(wait).UnixNano())
	if s.state.On || s.state.Error == "" {
		s.log.Warn("the rate limit store does not answer, each instance counts for itself",
			"error", err.Error())
		s.state.On, s.state.Since = false, time.Now()
	}
	s.state.Error = err.Error()
}

// Run connects the store and keeps it connected, until ctx ends. It tries once
// at the start. After that only requests cause tries, because a process without
// requests needs no store and may be frozen.
func (s *Store) Run(ctx context.Context) {
	var session *session
	for {
		if session == nil {
			session = s.connect(ctx)
		}
		var ended <-chan struct{}
		if session != nil {
			ended = session.ctx.Done()
		}

		select {
		case <-ctx.Done():
			s.session.Store(nil)
			if session != nil {
				session.close()
			}
			return
		case <-ended:
			session.close()
			session = nil
		case <-s.wake:
		}
	}
}

// connect opens a session if it is time for that. It returns nil if there is
// none.
func (s *Store) connect(ctx context.Context) *session {
	if wait := time.Duration(s.next.Load() - time.Now().UnixNano()); wait > 0 && wait <= longestOff {
		return nil
	}

	session, err := s.open(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.off(err, s.pause())
		return nil
	}

	s.state = State{On: true, Since: time.Now(), Error: s.state.Error}
	s.log.Info("the rate limit store is in use")
	s.session.Store(session)

	return session
}
