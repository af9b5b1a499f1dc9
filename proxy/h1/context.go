package h1

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
)

// While a transaction lasts, nothing reads from the client, so nothing would
// notice that it left. Therefore the client is looked at: first after a while,
// and then so often that a backend learns within 100 ms that its client is
// gone. A look is one system call.
const (
	firstLook = 50 * time.Millisecond
	nextLook  = 70 * time.Millisecond
)

// requestContext is the context of a request. Until Done is called, it costs
// nothing and is reused for the connection's next request. From then on, a
// timer looks at the client, and the context is not reused. It implements
// AfterFunc, by which package context derives from it without a goroutine.
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

// Deadline reports none. Limits are fields of the transaction.
func (x *requestContext) Deadline() (time.Time, bool) { return time.Time{}, false }

// Err returns nil before the first call of Done, because nothing watches the
// client before.
func (x *requestContext) Err() error {
	if !x.asked.Load() {
		return nil
	}

	x.mu.Lock()
	defer x.mu.Unlock()

	return x.err
}

// Value has the connection's local address, as in net/http's servers.
func (x *requestContext) Value(key any) any {
	if key == http.LocalAddrContextKey && x.conn != nil {
		return x.conn.c.LocalAddr()
	}
	return nil
}

// Done starts to watch the client.
func (x *requestContext) Done() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.watch()
	return x.done
}

// AfterFunc calls f in its own goroutine when the context is done, unless stop
// was called before.
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

// watch starts the timer. The caller holds the lock.
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

// look runs in the timer. It ends the context if the client is gone, and stops
// watching if that can't be seen any more.
func (x *requestContext) look() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil {
		return
	}

	switch x.conn.departed() {
	case socket.Finished, socket.Broken:
		x.cancel()
	case socket.Silent:
		x.timer.Reset(nextLook)
	}
}

// cancel ends the context. The caller holds the lock.
func (x *requestContext) cancel() {
	x.err = context.Canceled
	close(x.done)
	for f := range x.funcs {
		go f.run()
	}
	x.funcs = nil
}

// begin prepares the context for the connection's next request.
func (x *requestContext) begin(c *conn) { x.conn = c }

// end reports whether the context must be replaced, because a caller may still
// hold it.
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

// departed peeks at the client without taking bytes from it. Finished or broken
// means that the client left. Readable bytes hide whether it left. Any
// goroutine may call departed while the transaction lasts.
//
// A client that shuts down its sending side may still want the answer (RFC 9112
// section 9.6). TCP shows no difference between that and a client that is gone,
// and the latter is far more frequent. So it counts as gone, unless its end was
// expected: while its request is on the way, and after a request that said it
// was the connection's last.
func (c *conn) departed() socket.Readiness {
	if c.raw == nil {
		return c.departedTLS()
	}

	p := socket.Broken
	c.raw.Control(func(fd uintptr) { p = socket.Peek(int(fd)) })
	if p == socket.Finished && (c.x.expectsLast() || !c.x.body.received()) {
		return socket.Silent
	}

	return p
}
