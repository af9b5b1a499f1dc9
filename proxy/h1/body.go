package h1

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// errNotAsked is for a body that the client keeps because it has its answer already.
var errNotAsked = errors.New("body not asked for before the answer")

// past is a deadline that ends any wait.
var past = time.Unix(1, 0)

// body is a request's body as the handler reads it. A transport of this package knows it: what is buffered goes out
// with the head, and what is of known length is spliced.
type body struct {
	payload
	conn    *conn
	mu      sync.Mutex // held while a Read is in progress
	closed  atomic.Bool
	expects bool // the client waits for a 100 before it sends this body
	err     error
}

// reset prepares the body of the next request.
func (b *body) reset(framing framing, length int64, limit int) {
	b.payload = payload{in: &b.conn.x.in, framing: framing, left: length, limit: limit, done: framing == noBody}
	b.closed.Store(false)
	b.expects, b.err = false, nil
}

// Read asks the client to go on when it waits for that. Its errors but io.EOF are *Error with Client set.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	if b.err != nil {
		return 0, b.err
	}
	if b.expects && !b.conn.x.writer.proceed() {
		return 0, errNotAsked
	}
	n, err := b.payload.Read(p)
	switch {
	case err == io.EOF:
		b.mergeTrailer()
	case err != nil && b.closed.Load():
		err = http.ErrBodyReadAfterClose // our own doing, or drain will find it again
	case err != nil:
		b.err = clientFault(err)
		err = b.err
	}
	return n, err
}

// mergeTrailer completes the request's announced trailers; what was not announced comes along, as in net/http.
func (b *body) mergeTrailer() {
	if b.trailer == nil {
		return
	}
	r := &b.conn.x.request
	if r.Trailer == nil {
		r.Trailer = b.trailer
		return
	}
	for name, values := range b.trailer {
		r.Trailer[name] = values
	}
}

// clientFault says what a client did when reading from it failed.
func clientFault(err error) error {
	e := &Error{Outcome: NoAnswer, Phase: Write, Client: Gone, Err: err}
	var bad *refusal
	switch {
	case errors.As(err, &bad), err == io.ErrUnexpectedEOF:
		e.Client = BadBody
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.Client, e.Timeout = Stalled, true
	}
	return e
}

// Close fails later reads, ends one in progress and waits for it.
func (b *body) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	if !b.mu.TryLock() {
		b.conn.interrupt()
		b.mu.Lock()
		b.conn.armed = time.Time{}
	}
	b.mu.Unlock()
	return nil
}

// whole says that all of the body is in the buffer.
func (b *body) whole() bool {
	return b.done || b.framing == byLength && b.left <= int64(b.in.buffered())
}

// Len is the length of a body that can be read without waiting for the client, 0 for any other.
func (b *body) Len() int {
	if b.framing != byLength || !b.mu.TryLock() {
		return 0
	}
	defer b.mu.Unlock()
	if b.done || !b.whole() {
		return 0
	}
	return int(b.left)
}

// take is the rest of a body that is whole, as a slice of the buffer; the body is then read to its end.
func (b *body) take() []byte {
	if b.done {
		return nil
	}
	p := b.in.bytes()[:b.left]
	b.in.skip(len(p))
	b.left, b.done = 0, true
	return p
}

// maxDrain is how much of a body that nobody wanted is read to keep a connection.
const maxDrain = 256 << 10

// drain reads what the handler left, after Close, and says whether the connection can go on.
func (b *body) drain() bool {
	switch {
	case b.done:
		return true
	case b.err != nil || b.expects && b.conn.x.writer.owes():
		return false
	case b.whole():
		b.take()
		return true
	case b.framing == byLength && b.left > maxDrain:
		return false
	}
	b.closed.Store(false)
	p := make([]byte, firstBuffer)
	for total := 0; total <= maxDrain; {
		n, err := b.payload.Read(p)
		if err != nil {
			return err == io.EOF
		}
		total += n
	}
	return false
}

// received says that no more bytes of the request are to come. Another goroutine may be reading it; then they are.
func (b *body) received() bool {
	if !b.mu.TryLock() {
		return false
	}
	defer b.mu.Unlock()
	return b.whole()
}

// tooLong says that more of the body is missing than would be drained.
func (b *body) tooLong() bool {
	if !b.mu.TryLock() {
		return false
	}
	defer b.mu.Unlock()
	return b.framing == byLength && !b.done && b.left-int64(b.in.buffered()) > maxDrain
}
