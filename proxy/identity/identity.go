// Package identity gets Google-signed ID tokens for backends, one per audience,
// and keeps them fresh.
//
// A request asks for the token of its backend's audience. Normally that is one
// look into a map without a lock. The first request, and the first one after an
// audience was unused for the whole life of a token, waits while Run fetches
// the token. Run fetches it again when four fifths of its life are over. Until
// then the old one is used, at most to its end. Only Run fetches, so there is
// one fetch at a time for each audience. After a failure there is a pause in
// which requests fail at once.
//
// Tokens come from the metadata server, or from the file of
// LB_IDENTITY_TOKEN_FILE. On Cloud Run they are always required, and also if a
// token file, an audience or a metadata server is configured. Elsewhere
// LB_IDENTITY=auto asks the metadata server: while none with an account
// answers, requests go without a token.
package identity

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery/metadata"
)

const (
	// waitLimit bounds how long a request waits for a first token, whatever its
	// own context allows.
	waitLimit = 5 * time.Second
	// forceAge is the age from which on a 401 makes a token be fetched again,
	// and the shortest time between two such fetches.
	forceAge = time.Minute
)

// Source provides tokens while Run runs. Make one with New. Safe for concurrent
// use.
type Source struct {
	log  *slog.Logger
	mint minter
	mode atomic.Int32 // see mode
	wake chan struct{}

	decision decision

	entries atomic.Pointer[map[string]*entry] // replaced as a whole, with mu held
	mu      sync.Mutex                        // guards the entries, except their atomics
}

// minter is a source of tokens: the metadata server, or a file.
type minter interface {
	// token returns a token for audience. It is called by one goroutine at a
	// time per audience.
	token(ctx context.Context, audience string) (*token, error)
}

// Options are what a Source needs beside the configuration. The zero value is
// useful.
type Options struct {
	Logger   *slog.Logger     // nil: slog.Default()
	Metadata *metadata.Client // nil: one of GCE_METADATA_HOST
}

// New makes a Source by LB_IDENTITY and LB_IDENTITY_TOKEN_FILE. Before Run,
// nothing is asked and no goroutine is started.
func New(cfg *config.Config, opts Options) *Source {
	s := &Source{log: opts.Logger, wake: make(chan struct{}, 1)}
	if s.log == nil {
		s.log = slog.Default()
	}

	s.entries.Store(&map[string]*entry{})
	client := opts.Metadata
	if client == nil {
		client = metadata.New(cfg.Platform.MetadataHost, nil)
	}

	server := &metadataServer{client}
	s.mint = server
	if content := cfg.Service.IdentityToken; content != nil {
		s.mint = file{cfg.Service.IdentityTokenFile, content}
	}

	s.decision = decision{server: server, expected: cfg.Platform.ComputeEngine,
		wanted: make(chan struct{})}
	s.mode.Store(int32(firstMode(cfg)))
	return s
}

// firstMode returns the mode before the metadata server was asked.
func firstMode(cfg *config.Config) mode {
	switch {
	case cfg.Service.Identity == config.IdentityOff:
		return off
	case cfg.Platform.CloudRun(), cfg.Platform.MetadataHost != "", cfg.Service.IdentityToken != nil,
		cfg.Service.Identity != "" && cfg.Service.Identity != config.IdentityAuto:
		return on
	}

	return open
}

// entry has the token of one audience.
type entry struct {
	audience string
	token    atomic.Pointer[token]
	used     atomic.Bool // asked for since the newest fetch

	// Under the Source's mu.
	fetched  chan struct{} // closed when the wanted or running fetch ends; nil if there is none
	fetching bool
	failures int
	tried    time.Time // when the last fetch began
	retry    time.Time // no fetch before
	err      error     // of the newest fetch
	state    string    // of err, for the log
	forced   time.Time // of the newest forced refresh
}

// Token returns a token for audience that has not expired. It waits only if
// there is none: for at most 5 s, and not longer than ctx. Without an audience,
// and if identity is off, it returns "" and no error, and the request goes
// without a token.
func (s *Source) Token(ctx context.Context, audience string) (string, error) {
	if audience == "" || s.goWithout() {
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

// use notes that the token is in use. It writes only if that is a change,
// because a cache line that every request writes slows down all processors.
func (e *entry) use() {
	if !e.used.Load() {
		e.used.Store(true)
	}
}

// wait requests a fetch. The caller holds the Source's mu.
func (e *entry) wait() {
	if e.fetched == nil {
		e.fetched = make(chan struct{})
	}
}

// release ends the waits for a fetch. The caller holds the
// Source's mu.
func (e *entry) release() {
	if e.fetched != nil {
		close(e.fetched)
		e.fetched = nil
	}
}

// first waits for a first token.
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

	if s.goWithout() {
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

// want asks Run for a token for audience. It returns a channel that is closed
// after the attempt, or a recent failure.
func (s *Source) want(audience string) (*entry, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entryOf(audience)
	e.use()
	if !s.decision.asked {
		s.decision.asked = true
		close(s.decision.wanted)
	}

	if s.decision.err != nil && s.currentMode() == open {
		return e, nil, s.decision.err
	}

	if e.fetched == nil {
		if e.err != nil && wallClock().Before(e.retry) {
			return e, nil, e.err
		}

		e.wait()
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

// rouse wakes Run.
func (s *Source) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Expect fetches the tokens of audiences before the first request asks for
// them. It does not wait.
func (s *Source) Expect(audiences ...string) {
	for _, a := range audiences {
		if a == "" || s.goWithout() {
			continue
		}

		if e := (*s.entries.Load())[a]; e == nil || !e.token.Load().valid(time.Now()) {
			s.want(a) // requests that ask for a token get a recent failure
		}
	}
}

// Rejected reports that a backend answered 401 to a token of audience. If the
// token is older than a minute, it is fetched again in the background, at most
// once a minute: a new token does not help against a missing permission, and
// clients could cause many 401s.
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
	e.wait()
	s.rouse()
}

// wallClock returns the time without its monotonic part, which stands still
// while a machine sleeps.
func wallClock() time.Time { return time.Now().Round(0) }
