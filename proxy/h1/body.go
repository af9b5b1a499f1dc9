package h1

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// errNotAsked is the error of a body that the client was not asked for, because
// it has its answer already.
var errNotAsked = errors.New("body not asked for before the answer")

// past is a deadline that ends every wait.
var past = time.Unix(1, 0)

// body is a request's body as the handler reads it. A transport of this package
// recognises it: buffered bytes are sent with the head, and a body of known
// length is spliced.
type body struct {
	payload
	conn    *conn
	length  int64      // as declared
	mu      sync.Mutex // held while a Read is in progress
	closed  atomic.Bool
	expects bool // the client waits for a 100 before it sends the body
	err     error
}

// reset prepares the body for the next request.
func (b *body) reset(framing framing, length int64, limit int) {
	b.payload = payload{
		in:      &b.conn.x.in,
		framing: framing,
		left:    length,
		limit:   limit,
		done:    framing == noBody,
	}
	b.closed.Store(false)
	b.length, b.expects, b.err = length, false, nil
}

// Begun reports whether anything of a body of known length was read, or can't
// be read any more. It is asked when no upload works.
func (b *body) Begun() bool {
	b.mu.Lock()
	defer b.mu.Unlock()

	return b.closed.Load() || b.err != nil || b.framing != byLength || b.left != b.length
}

// Read first asks the client to continue, if the client waits for that. Its
// errors, except io.EOF, are *wire.Error with Client set.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}

	if b.err != nil {
		return 0, b.err
	}
	if b.expects && !b.conn.x.writer.sendContinue() {
		return 0, errNotAsked
	}

	n, err := b.payload.Read(p)
	switch {
	case err == io.EOF:
		b.mergeTrailer()
	case err != nil && b.closed.Load():
		err = http.ErrBodyReadAfterClose // the body was closed, or drain will see the error again
	case err != nil:
		b.err = clientFault(err)
		err = b.err
	}

	return n, err
}

// mergeTrailer adds the trailers that came to the request's announced ones. As
// in net/http, trailers that were not announced are added too.
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

// clientFault returns what the client did, when reading from it failed.
func clientFault(err error) error {
	e := &wire.Error{Outcome: wire.NoAnswer, Phase: wire.Write, Client: wire.Gone, Err: err}
	var bad *refusal
	switch {
	case errors.As(err, &bad), err == io.ErrUnexpectedEOF:
		e.Client = wire.BadBody
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.Client, e.Timeout = wire.Stalled, true
	}

	return e
}

// Close makes later reads fail, and waits for the end of a read in progress.
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

// whole reports whether all of the body is in the buffer.
func (b *body) whole() bool {
	return b.done || b.framing == byLength && b.left <= int64(b.in.buffered())
}

// Len returns the length of a body that can be read without waiting for the
// client, and 0 for any other.
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

// take returns the rest of a whole body as a slice of the buffer. The body is
// then at its end.
func (b *body) take() []byte {
	if b.done {
		return nil
	}

	p := b.in.bytes()[:b.left]
	b.in.skip(len(p))
	b.left, b.done = 0, true

	return p
}

// maxDrain is how much of an unread body is read to keep the connection.
const maxDrain = 256 << 10

// drain reads what the handler has left after Close, and reports whether the
// connection can be used again.
func (b *body) drain() bool {
	switch {
	case b.done:
		return true
	case b.err != nil || b.expects && b.conn.x.writer.continuePending():
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

// received reports whether all bytes of the request have come. While another
// goroutine reads the body, it reports false.
func (b *body) received() bool {
	if !b.mu.TryLock() {
		return false
	}
	defer b.mu.Unlock()
	return b.whole()
}

// tooLong reports whether more of the body is missing than may be drained.
func (b *body) tooLong() bool {
	if !b.mu.TryLock() {
		return false
	}
	defer b.mu.Unlock()
	return b.framing == byLength && !b.done && b.left-int64(b.in.buffered()) > maxDrain
}
