package discovery

import (
	"context"
	"errors"

	"github.com/pillion-lb/pillion/discovery/metadata"
)

// source finds the backends of one target.
type source interface {
	// run reports full answers and failures until ctx ends, or until nothing
	// can change any more. It waits for its goroutines before it returns.
	run(ctx context.Context, report func(answer, error))
}

// answer is one full answer of a source.
type answer struct {
	backends []Backend
	refused  []string // backends in the answer that may not be used, in words
	final    bool     // it is the last answer
	partial  bool     // a part is missing that the next answer may have
	stale    bool     // it is from an older refresh, and the last one has failed
}

// failure is why a source has no new answer. A failure is logged once: another
// one with the same state is not logged again, even if its details differ.
type failure struct {
	state string
	err   error
}

// The states that several sources use.
const (
	undefined   = "undefined"   // the metadata server has no such value
	unreachable = "unreachable" // no valid answer
)

// stateOf returns the state of a failure, or "".
func stateOf(err error) string {
	var f *failure
	switch {
	case err == nil:
		return ""
	case errors.As(err, &f):
		return f.state
	case errors.Is(err, metadata.ErrUndefined):
		return undefined
	}

	return unreachable
}

// Error returns the cause's text.
func (f *failure) Error() string { return f.err.Error() }

// Unwrap returns the cause.
func (f *failure) Unwrap() error { return f.err }
