package identity

import (
	"slices"
	"strings"
	"time"
)

// State is the state of one audience's token, for metrics and the status page.
// It contains no secret.
type State struct {
	Audience string
	Fetched  time.Time // of the current token; zero if there is none
	Expires  time.Time // by its own exp
	Err      error     // of the last fetch; nil if it succeeded
}

// Age returns how long ago the token was fetched. It reports false if there is
// no token.
func (s State) Age(now time.Time) (age time.Duration, known bool) {
	if s.Fetched.IsZero() {
		return 0, false
	}
	return max(now.Sub(s.Fetched), 0), true
}

// States returns the state of every audience in use, sorted. Safe at any time.
func (s *Source) States() []State {
	s.mu.Lock()
	defer s.mu.Unlock()
	var states []State
	for audience, e := range *s.entries.Load() {
		state := State{Audience: audience, Err: e.err}
		if t := e.token.Load(); t != nil {
			state.Fetched, state.Expires = t.got, t.expires
		}

		states = append(states, state)
	}

	slices.SortFunc(states, func(a, b State) int { return strings.Compare(a.Audience, b.Audience) })
	return states
}
