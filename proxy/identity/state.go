package identity

import (
	"slices"
	"strings"
	"time"
)

// State is how the token of one audience is doing, for metrics and the status page. It holds nothing secret.
type State struct {
	Audience string
	Fetched  time.Time // of the token that is served; zero: there is none
	Expires  time.Time // by its own exp
	Err      error     // of the newest fetch; nil: it succeeded
}

// Age is how long ago the token was fetched; -1 without one.
func (s State) Age(now time.Time) time.Duration {
	if s.Fetched.IsZero() {
		return -1
	}
	return max(now.Sub(s.Fetched), 0)
}

// States says how every audience in use is doing, sorted. Safe at any time.
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
