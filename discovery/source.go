package discovery

import "context"

// source finds the backends of one target.
type source interface {
	// run reports full answers and failures until ctx ends or until nothing can change any more. It owns its
	// goroutines and has none left when it returns.
	run(ctx context.Context, report func(answer, error))
}

// answer is one full answer of a source.
type answer struct {
	backends []Backend
	refused  []string // what the answer named and may not be used, in words
	final    bool     // there will never be another one
	partial  bool     // some part of it has not been found yet; the next answer may have it
	stale    bool     // it comes of an older refresh; that the newest one failed stays true
}

// failure is why a source has no new answer. Its state is what is logged once: a second failure of the same state is
// no news, however its details differ.
type failure struct {
	state string
	err   error
}

// Error is the cause's text.
func (f *failure) Error() string { return f.err.Error() }

// Unwrap is the cause.
func (f *failure) Unwrap() error { return f.err }

// static is the source of a fixed target: one backend, there from the start.
type static struct{ backend Backend }

func (s static) run(_ context.Context, report func(answer, error)) {
	report(s.answer(), nil)
}

func (s static) answer() answer {
	return answer{backends: []Backend{s.backend}, final: true}
}
