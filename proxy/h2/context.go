package h2

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// streamContext is the context of a request. The reader of the connection
// cancels it when the client resets the stream or the connection ends. It is
// reused with its transaction, unless Done or AfterFunc was called.
//
// Its mutex is locked before that of a connection. A call to a backend is given
// up under it, so a call that ends at the same time is not reused before that
// is done.
type streamContext struct {
	x     *transaction
	gone  atomic.Bool
	asked atomic.Bool

	mu    sync.Mutex
	done  chan struct{}
	funcs []*afterFunc
	calls []*call // to backends, which end with the context
}

type afterFunc struct{ run func() }

// Deadline reports none.
func (s *streamContext) Deadline() (time.Time, bool) { return time.Time{}, false }

// Err returns why the context ended, as soon as the reader knows it.
func (s *streamContext) Err() error {
	if s.gone.Load() {
		return context.Canceled
	}
	return nil
}

// Value has the connection's local address, as in net/http's servers.
func (s *streamContext) Value(key any) any {
	if key == http.LocalAddrContextKey && s.x.c != nil {
		return s.x.c.nc.LocalAddr()
	}
	return nil
}

// Done makes the channel at its first call.
func (s *streamContext) Done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked.Store(true)
	if s.done == nil {
		s.done = make(chan struct{})
		if s.gone.Load() {
			close(s.done)
		}
	}
	return s.done
}

// AfterFunc lets package context derive from this one without a goroutine. If f
// is stopped in time, the context can be reused.
func (s *streamContext) AfterFunc(f func()) (stop func() bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone.Load() {
		go f()
		return func() bool { return false }
	}
	entry := &afterFunc{f}
	s.funcs = append(s.funcs, entry)
	return func() bool { return s.forget(entry) }
}

// forget takes a function off the list, and reports whether it was there.
func (s *streamContext) forget(entry *afterFunc) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.funcs, entry)
	if i < 0 {
		return false
	}
	s.funcs = slices.Delete(s.funcs, i, i+1)
	return true
}

// watch gives a call up when the context ends. It reports false if it has ended
// already.
func (s *streamContext) watch(k *call) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone.Load() {
		return false
	}
	s.calls = append(s.calls, k)
	return true
}

// unwatch removes a call that has ended.
func (s *streamContext) unwatch(k *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range s.calls {
		if other == k {
			last := len(s.calls) - 1
			s.calls[i], s.calls[last] = s.calls[last], nil
			s.calls = s.calls[:last]
			return
		}
	}
}

func (s *streamContext) cancel() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone.Swap(true) {
		return
	}
	if s.done != nil {
		close(s.done)
	}
	for _, f := range s.funcs {
		go f.run()
	}
	s.funcs = nil
	for _, k := range s.calls {
		k.abandon()
	}
	clear(s.calls)
	s.calls = s.calls[:0]
}

// end ends the context after its request, if another goroutine may still hold
// it, and reports whether it has to be replaced.
func (s *streamContext) end() bool {
	s.mu.Lock()
	held := s.asked.Load() || s.gone.Load() || len(s.funcs) > 0
	s.mu.Unlock()
	if held {
		s.cancel()
	}
	return held
}
