package h1

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Nobody waits for a client that waits for us, so while an exchange lasts somebody looks after it: first when it has
// lasted for a while, then so often that a backend hears within 100 ms of a client who left. A look is one system call.
const (
	firstLook = 50 * time.Millisecond
	nextLook  = 70 * time.Millisecond
)

// requestContext is the context of a request. Until somebody asks it for Done it costs nothing and is reused for the
// connection's next request; from then on a timer looks after the client, and the context is abandoned at the end of
// its request. It implements the interface that lets the context package derive from it without a goroutine.
type requestContext struct {
	conn  *conn
	asked atomic.Bool

	mu    sync.Mutex
	done  chan struct{}
	err   error
	timer *time.Timer
	funcs map[*afterFunc]struct{}
}

type afterFunc struct{ run func() }

// Deadline is none: limits are times on the exchange.
func (x *requestContext) Deadline() (time.Time, bool) { return time.Time{}, false }

// Err is nil until somebody has asked for Done, because nobody watches before.
func (x *requestContext) Err() error {
	if !x.asked.Load() {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.err
}

// Value knows the connection's own address, as net/http's servers do.
func (x *requestContext) Value(key any) any {
	if key == http.LocalAddrContextKey && x.conn != nil {
		return x.conn.c.LocalAddr()
	}
	return nil
}

// Done begins to watch the client.
func (x *requestContext) Done() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.watch()
	return x.done
}

// AfterFunc calls f in its own goroutine when the context is done, unless stop was called before.
func (x *requestContext) AfterFunc(f func()) (stop func() bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.watch()
	if x.err != nil {
		go f()
		return func() bool { return false }
	}
	entry := &afterFunc{f}
	if x.funcs == nil {
		x.funcs = make(map[*afterFunc]struct{})
	}
	x.funcs[entry] = struct{}{}
	return func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		_, waiting := x.funcs[entry]
		delete(x.funcs, entry)
		return waiting
	}
}

// watch is called with the lock held.
func (x *requestContext) watch() {
	if x.done != nil {
		return
	}
	x.asked.Store(true)
	x.done = make(chan struct{})
	if x.err == nil {
		x.timer = time.AfterFunc(firstLook, x.look)
	}
}

// look is the timer's: it ends the context when the client is gone, and the watching when nothing can be seen.
func (x *requestContext) look() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil {
		return
	}
	switch x.conn.departed() {
	case finished, broken:
		x.cancel()
	case silent:
		x.timer.Reset(nextLook)
	}
}

// cancel is called with the lock held.
func (x *requestContext) cancel() {
	x.err = context.Canceled
	close(x.done)
	for f := range x.funcs {
		go f.run()
	}
	x.funcs = nil
}

// begin is for the next request of a connection.
func (x *requestContext) begin(c *conn) { x.conn = c }

// end says whether the context must be replaced, because somebody may still hold it.
func (x *requestContext) end() bool {
	if !x.asked.Load() {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.timer.Stop()
	if x.err == nil {
		x.cancel()
	}
	return true
}

// departed peeks at the client without taking bytes from it: finished or broken is a client that left, readable is one
// whose next bytes hide that. A client that closes its sending side while its request body is on the way has not left.
// Any goroutine may call it while the exchange lasts.
func (c *conn) departed() peek {
	if c.raw == nil {
		return c.departedTLS()
	}
	p := broken
	c.raw.Control(func(fd uintptr) { p = rawPeek(int(fd)) })
	if p == finished && !c.x.body.received() {
		return silent
	}
	return p
}
