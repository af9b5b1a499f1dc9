package discovery

import (
	"log/slog"
	"slices"
	"time"
)

// feed is one target of a list: its source and the last good answer. The list's
// mutex guards it.
type feed struct {
	target   Target
	source   source
	backends []Backend
	answered time.Time // when the last good answer came; zero if there was none
	final    bool      // the answer is the last one
	failed   error     // of the last refresh; nil if it succeeded
	state    string    // of failed, see failure
	refused  []string
	log      *slog.Logger
}

// mostNamed is how many refused parts a line of the log names.
const mostNamed = 10

// take records an answer, and reports whether it changes the list's result.
func (f *feed) take(a answer, now time.Time) bool {
	f.log.Debug("discovery answered", "backends", len(a.backends), "refused", len(a.refused),
		"partial", a.partial)
	if f.failed != nil && !a.stale {
		f.log.Info("discovery works again", "backends", len(a.backends))
	}

	if !slices.Equal(f.refused, a.refused) && len(a.refused) > 0 {
		f.log.Warn("discovery refused part of an answer",
			"refused", a.refused[:min(len(a.refused), mostNamed)], "count", len(a.refused))
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

// fail records a failure. It does not change the backends: the last good answer
// stays.
func (f *feed) fail(err error, now time.Time) {
	state := stateOf(err)

	news := f.failed == nil || f.state != state
	f.failed, f.state = err, state

	switch {
	case !news:
	case f.answered.IsZero():
		f.log.Warn("discovery failed, no backends of this source are known yet", "error", err)
	default:
		f.log.Warn("discovery failed, the last good answer stays", "error", err, "backends_kept",
			len(f.backends),
			"answer_age", now.Sub(f.answered).Round(time.Second).String())
	}
}

// State is the state of a source, for metrics and the status page.
type State struct {
	Service string // the source's service, if there are several
	// the item of LB_BACKENDS; inside an attribute followed by a blank and the
	// attribute's own item
	Source   string
	Kind     Kind      //
	Backends int       // of the last good answer
	Answered time.Time // when that was; zero if there was none
	Final    bool      // the answer can't change, so its age has no meaning
	Err      error     // of the last refresh; nil if it succeeded
}

// Up reports whether the last refresh succeeded. A source that has not answered
// yet is not up.
func (s State) Up() bool { return s.Err == nil && !s.Answered.IsZero() }

// Age returns the age of the last good answer, which is 0 for one that can't
// change. It reports false if there was none.
func (s State) Age(now time.Time) (age time.Duration, known bool) {
	if s.Answered.IsZero() {
		return 0, false
	}

	if s.Final {
		return 0, true
	}

	return max(now.Sub(s.Answered), 0), true
}

func (f *feed) report() State {
	return State{
		Source: f.target.Item, Kind: f.target.Kind, Backends: len(f.backends),
		Answered: f.answered, Final: f.final, Err: f.failed,
	}
}
