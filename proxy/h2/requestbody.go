package h2

import (
	"io"
	"maps"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// requestBody is the body of a client's request. Read and Close may be called
// by different goroutines. It knows when all of it is in memory, and is then
// sent without a goroutine.
type requestBody struct {
	x      *transaction
	closed atomic.Bool
}

// Read waits for content. The client must send some within the stall timeout.
// This does not hold for a gRPC call, or after the answer has begun: such a
// stream may be silent for any time.
func (b *requestBody) Read(p []byte) (int, error) {
	x := b.x
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	c := x.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case b.closed.Load():
			return 0, http.ErrBodyReadAfterClose
		case x.content.len() > 0:
			n := x.content.read(p)
			x.consumed(n)
			if x.inEnd && x.content.len() == 0 {
				b.ended()
				return n, io.EOF
			}
			return n, nil
		case x.inEnd:
			b.ended()
			return 0, io.EOF
		case x.err != nil:
			return 0, x.err
		}
		x.proceed()
		late := x.reader.wait(c, b.limit())
		if late && !b.closed.Load() && !x.inEnd && x.content.len() == 0 && x.err == nil {
			return 0, &wire.Error{
				Outcome: wire.NoAnswer, Phase: wire.Write, Client: wire.Stalled,
				Timeout: true, Err: errTimeout,
			}
		}
	}
}

// limit returns until when the client may be silent.
func (b *requestBody) limit() time.Time {
	x := b.x
	if x.grpc || x.response.committed && x.declared < 0 {
		return noTime
	}
	if d := x.server.StallTimeout; d > 0 {
		return time.Now().Add(d)
	}
	return noTime
}

// proceed sends 100 (Continue) to a client that waits for it. The caller holds
// the mutex.
func (x *transaction) proceed() {
	if !x.expects {
		return
	}
	x.expects = false
	if !x.response.committed {
		x.c.appendSection(x.id, http.StatusContinue, nil, false)
		x.c.kick()
	}
}

// ended puts the trailers into the request (RFC 9110 section 6.5.2).
func (b *requestBody) ended() {
	x := b.x
	switch {
	case x.trailer == nil:
	case x.request.Trailer == nil:
		x.request.Trailer = x.trailer
	default:
		maps.Copy(x.request.Trailer, x.trailer)
	}
	x.trailer = nil
}

// Whole returns the length of the rest of the body, if all of it is in memory
// and no trailers follow.
func (b *requestBody) Whole() (int, bool) {
	x := b.x
	x.c.mu.Lock()
	defer x.c.mu.Unlock()
	return x.content.len(), x.inEnd && x.trailer == nil
}

// Len returns the same for a body of known length.
func (b *requestBody) Len() int {
	if n, ok := b.Whole(); ok {
		return n
	}
	return 0
}

// Close makes reads fail, also one in progress.
func (b *requestBody) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	x := b.x
	c := x.c
	c.mu.Lock()
	defer c.mu.Unlock()
	x.discards = true
	c.credit(x.content.len())
	x.content.clear()
	x.reader.wakeUp()
	c.kick()
	return nil
}
