package cache

import (
	"context"
	"sync"
	"time"
)

// fetchContext is the context of a fetch. It ends when the client has left for
// which the fetch was made, and no other request wants the answer. The client
// is not watched until Done is called. A transport that watches the client
// itself calls Abandoned instead (wire.SharedContext). Most fetches then need
// no context, timer or channel of their own.
type fetchContext struct {
	fetch  *fetch
	client context.Context

	mu     sync.Mutex
	inner  context.Context // nil before the first call of Done
	cancel context.CancelFunc
	stop   func() bool // ends the watch on the client
	ended  bool
}

// Client returns the context of the client's own request.
func (x *fetchContext) Client() context.Context { return x.client }

// Abandoned is called when the client has left. It reports whether no other
// request wants the answer.
func (x *fetchContext) Abandoned() bool {
	x.fetch.gone.Store(true)
	return !x.fetch.wanted()
}

// Deadline reports none.
func (x *fetchContext) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value has what the client's context has.
func (x *fetchContext) Value(key any) any { return x.client.Value(key) }

// Done starts to watch the client.
func (x *fetchContext) Done() <-chan struct{} { return x.watched().Done() }

// Err returns nil before the first call of Done.
func (x *fetchContext) Err() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.inner == nil {
		return nil
	}
	return x.inner.Err()
}

// AfterFunc calls f in its own goroutine when the context is done, unless stop
// was called before. Package context calls it.
func (x *fetchContext) AfterFunc(f func()) (stop func() bool) {
	return context.AfterFunc(x.watched(), f)
}

// watched returns a context that ends with the client.
func (x *fetchContext) watched() context.Context {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.inner != nil {
		return x.inner
	}
	x.inner, x.cancel = context.WithCancel(context.WithoutCancel(x.client))
	if x.ended {
		x.cancel()
		return x.inner
	}
	x.stop = context.AfterFunc(x.client, func() {
		x.fetch.gone.Store(true)
		x.fetch.check()
	})
	return x.inner
}

// end ends the context.
func (x *fetchContext) end() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ended = true
	if x.cancel != nil {
		x.cancel()
	}
}

// close ends the context and the watch on the client.
func (x *fetchContext) close() {
	x.end()
	x.mu.Lock()
	stop := x.stop
	x.mu.Unlock()
	if stop != nil {
		stop()
	}
}
