// Package identity gets Google-signed ID tokens for backends, one per audience, and keeps them fresh.
//
// A request asks for the token of its backend's audience. Normally that is one look into a map that nobody locks. The
// first time, and after an audience has not been asked for through a whole token's life, the request waits while Run
// fetches the token; Run fetches it again when four fifths of its life are over, and until the new one is there the
// old one is served to its end. Run is the only one that fetches, so there is one fetch at a time per audience however
// many requests wait, and after a failure there is a pause in which requests fail at once.
//
// Tokens come from the metadata server, or from the file of LB_IDENTITY_TOKEN_FILE. On Cloud Run they are always
// wanted, and so they are where a token file, an audience or a metadata server is given by name. Elsewhere
// LB_IDENTITY=auto is decided once: where no metadata server answers, requests go without a token.
package identity

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/config"
)

const (
	fetchDeadline = 2 * time.Second
	// waitLimit bounds how long a request waits for a first token, whatever its own context allows.
	waitLimit = 5 * time.Second
	// forceAge is how old a token must be before a 401 may be its fault, and the shortest time between two refreshes
	// that a 401 forces.
	forceAge = time.Minute
)

// Source hands out tokens. Safe for concurrent use. Make one with New; it works while Run runs.
type Source struct {
	log    *slog.Logger
	mint   minter
	choice choice
	off    atomic.Bool // decided: requests go without a token
	wake   chan struct{}

	entries atomic.Pointer[map[string]*entry] // replaced as a whole, with mu held
	mu      sync.Mutex                        // guards what entries hold but their atomics
}

// minter makes tokens: the metadata server, or a file.
type minter interface {
	// token returns a token for audience. It is called by one goroutine at a time per audience.
	token(ctx context.Context, audience string) (*token, error)
}

// Options is what the process gives to a Source. The zero value is useful.
type Options struct {
	Logger   *slog.Logger      // nil: slog.Default()
	Metadata http.RoundTripper // to the metadata server; nil: one of our own
}

// New prepares a Source by LB_IDENTITY and LB_IDENTITY_TOKEN_FILE. Nothing runs and nothing is asked before Run.
func New(cfg *config.Config, opts Options) *Source {
	s := &Source{log: opts.Logger, wake: make(chan struct{}, 1)}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.entries.Store(&map[string]*entry{})
	server := newServer(opts.Metadata)
	s.mint = server
	if path := cfg.Service.IdentityTokenFile; path != "" {
		s.mint = file(path)
	}
	s.choice.server, s.choice.turn = server, make(chan struct{}, 1)
	s.choice.expected = cfg.Platform.ComputeEngine
	s.choice.made = cfg.Platform.CloudRun() || cfg.Platform.MetadataHost != "" || cfg.Service.IdentityTokenFile != "" ||
		cfg.Service.Identity != "" && cfg.Service.Identity != "auto"
	s.off.Store(cfg.Service.Identity == "off")
	return s
}

// entry is one audience.
type entry struct {
	audience string
	token    atomic.Pointer[token]
	used     atomic.Bool // asked for since the newest fetch

	// Under the Source's mu.
	fetched  chan struct{} // closed when the fetch that is wanted or running ends; nil: none is
	fetching bool
	failures int
	tried    time.Time // when the newest fetch began
	retry    time.Time // no fetch before
	err      error     // of the newest fetch
	state    string    // of err, for the log
	forced   time.Time // of the newest forced refresh
}

// Token returns a token for audience whose own expiry lies ahead. Only without one it waits, for at most 5 s, while ctx
// lasts and until the deadline that ctx tells. Without an audience, and where identity is off, it returns "" and no error: the request goes without a
// token.
func (s *Source) Token(ctx context.Context, audience string) (string, error) {
	if audience == "" || s.off.Load() {
		return "", nil
	}
	if e := (*s.entries.Load())[audience]; e != nil {
		if t := e.token.Load(); t.valid(time.Now()) {
			e.use()
			return t.text, nil
		}
	}
	return s.first(ctx, audience)
}

// use remembers that somebody wants the token, writing only when that is news: a shared cache line that every request
// writes would be a lock by another name.
func (e *entry) use() {
	if !e.used.Load() {
		e.used.Store(true)
	}
}

// first waits for a token that is not there yet.
func (s *Source) first(ctx context.Context, audience string) (string, error) {
	e, fetched, err := s.want(audience)
	if err != nil {
		return "", err
	}
	wait, tooLong := waitLimit, errors.New("waiting for an identity token took too long")
	if end, ok := ctx.Deadline(); ok && time.Until(end) < wait {
		wait, tooLong = time.Until(end), context.DeadlineExceeded
	}
	limit := time.NewTimer(wait)
	defer limit.Stop()
	select {
	case <-fetched:
	case <-ctx.Done():
		return "", ctx.Err()
	case <-limit.C:
		return "", tooLong
	}
	if s.off.Load() {
		return "", nil
	}
	if t := e.token.Load(); t.valid(time.Now()) {
		return t.text, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.err != nil {
		return "", e.err
	}
	return "", errors.New("the fetched identity token has expired already")
}

// want asks Run for a token of audience and returns what is closed when that has been tried. While a failure is
// recent it returns that failure.
func (s *Source) want(audience string) (*entry, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entryOf(audience)
	e.use()
	if e.fetched == nil {
		if e.err != nil && wallClock().Before(e.retry) {
			return e, nil, e.err
		}
		e.fetched = make(chan struct{})
		s.rouse()
	}
	return e, e.fetched, nil
}

// entryOf finds or makes the entry of audience. The caller holds mu.
func (s *Source) entryOf(audience string) *entry {
	entries := *s.entries.Load()
	if e := entries[audience]; e != nil {
		return e
	}
	e := &entry{audience: audience}
	entries = maps.Clone(entries)
	entries[audience] = e
	s.entries.Store(&entries)
	return e
}

// rouse makes Run look again.
func (s *Source) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Expect fetches the tokens of audiences before the first request asks for them. It does not wait.
func (s *Source) Expect(audiences ...string) {
	for _, a := range audiences {
		if a == "" || s.off.Load() {
			continue
		}
		if e := (*s.entries.Load())[a]; e == nil || !e.token.Load().valid(time.Now()) {
			s.want(a) // a recent failure is told to those who ask for a token
		}
	}
}

// Rejected says that a backend answered 401 to a token of audience. If the token is older than a minute it is fetched
// anew in the background, at most once a minute: a new token is no remedy for a missing permission, and the client
// decides how many 401s there are.
func (s *Source) Rejected(audience string) {
	e := (*s.entries.Load())[audience]
	if e == nil {
		return
	}
	t, now := e.token.Load(), wallClock()
	if t == nil || now.Sub(t.got) <= forceAge {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.fetched != nil || now.Sub(e.forced) < forceAge || now.Before(e.retry) {
		return
	}
	e.forced = now
	e.fetched = make(chan struct{})
	s.rouse()
}

// wallClock is the time of day without its monotonic part, which stands still while a machine sleeps.
func wallClock() time.Time { return time.Now().Round(0) }
