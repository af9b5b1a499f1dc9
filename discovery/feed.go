package discovery

import (
	"errors"
	"log/slog"
	"slices"
	"time"
)

// feed is one target's place in a list: its source and the last good answer. It belongs to its list's mutex.
type feed struct {
	target   Target
	source   source
	backends []Backend
	answered time.Time // of the last good answer; zero: none yet
	final    bool      // the answer is the last one
	failed   error     // of the newest refresh; nil: it succeeded
	state    string    // of failed, see failure
	refused  []string
	log      *slog.Logger
}

// take records an answer and reports whether it changed what the list has to know.
func (f *feed) take(a answer, now time.Time) bool {
	if f.failed != nil && !a.stale {
		f.log.Info("discovery works again", "backends", len(a.backends))
	}
	if !slices.Equal(f.refused, a.refused) && len(a.refused) > 0 {
		f.log.Warn("discovery refused part of an answer", "refused", a.refused)
	}
	first := f.answered.IsZero()
	changed := first || !slices.Equal(f.backends, a.backends)
	f.backends, f.refused, f.final = a.backends, a.refused, a.final
	if !a.partial && (first || !a.stale) {
		f.answered = now
	}
	if !a.stale {
		f.failed, f.state = nil, ""
	}
	return changed
}

// fail records a failure. It never changes the backends: the last good answer stays for as long as it takes.
func (f *feed) fail(err error, now time.Time) {
	state := "failed"
	var known *failure
	if errors.As(err, &known) {
		state = known.state
	}
	if f.failed == nil || f.state != state {
		args := []any{"error", err, "backends_kept", len(f.backends)}
		if !f.answered.IsZero() {
			args = append(args, "answer_age", now.Sub(f.answered).Round(time.Second).String())
		}
		f.log.Warn("discovery failed, the last good answer stays", args...)
	}
	f.failed, f.state = err, state
}

// State is how a source is doing, for metrics and the status page.
type State struct {
	Source   string    // the item of LB_BACKENDS; inside an attribute followed by a blank and the attribute's own item
	Kind     Kind      //
	Backends int       // of the last good answer
	Answered time.Time // when that was; zero: never
	Final    bool      // the answer can't change, so its age means nothing
	Err      error     // of the newest refresh; nil: it succeeded
}

// Age is how old the last good answer is at now; 0 for one that can't change, and -1 if there never was one.
func (s State) Age(now time.Time) time.Duration {
	switch {
	case s.Answered.IsZero():
		return -1
	case s.Final:
		return 0
	}
	return max(now.Sub(s.Answered), 0)
}

func (f *feed) report() State {
	return State{
		Source: f.target.Item, Kind: f.target.Kind, Backends: len(f.backends),
		Answered: f.answered, Final: f.final, Err: f.failed,
	}
}
