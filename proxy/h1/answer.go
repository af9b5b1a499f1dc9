package h1

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// answer is a response and its body in one allocation. It is never part of the
// link: a second Close must find its own link gone, and not the transaction of
// another request.
type answer struct {
	http.Response
	content content
}

// content is a response's body. A writer of this package recognises it and
// splices the rest of a body of known length.
type content struct {
	payload
	l        *link // nil after Close
	response *http.Response
	keep     bool // the connection can be reused
	err      error
	sent     io.Closer // a request body that has to be closed with this one
}

// Read returns io.EOF together with the last bytes if these are known to be the
// last. Other errors are *wire.Error.
func (b *content) Read(p []byte) (int, error) {
	switch {
	case b.l == nil:
		return 0, http.ErrBodyReadAfterClose
	case b.err != nil:
		return 0, b.err
	}

	n, err := b.payload.Read(p)
	switch {
	case err == io.EOF:
		b.mergeTrailer()
	case err != nil:
		b.fail(err)
		err = b.err
	}

	return n, err
}

// Buffered returns how many bytes of the body, with its framing, have come.
func (b *content) Buffered() int {
	if b.l == nil || !b.payload.ready() {
		return 0
	}

	return b.in.buffered()
}

// Ready reports whether the next Read returns without waiting. It may report
// false where it can't be known, as under TLS.
func (b *content) Ready() bool {
	for b.l != nil && b.err == nil && !b.payload.ready() {
		if b.l.raw == nil {
			return false
		}
		switch b.l.look() {
		case socket.Silent:
			return false
		case socket.Readable:
			if b.data() {
				return true
			}
			if b.in.fill(max(b.limit, firstBuffer)) != nil {
				return true // and Read finds the same
			}
		default:
			return true
		}
	}

	return true
}

// fail ends the body with an error. Close then closes the link.
func (b *content) fail(err error) {
	e := &wire.Error{Err: err}
	if !errors.As(err, &e) {
		e = &wire.Error{Err: err}
	}
	e.Outcome, e.Phase = wire.Broken, wire.Body
	b.err, b.keep = e, false
}

func (b *content) mergeTrailer() {
	if b.trailer == nil {
		return
	}

	if b.response.Trailer == nil {
		b.response.Trailer = b.trailer
		return
	}

	for name, values := range b.trailer {
		b.response.Trailer[name] = values
	}
}

// Close returns the connection to the pool if both messages are complete and
// nothing else came. Otherwise it closes the connection, because bytes after a
// response belong to no request.
func (b *content) Close() error {
	l := b.l
	if l == nil {
		return nil
	}

	b.finish()
	b.l = nil
	if b.sent != nil {
		defer b.sent.Close()
	}

	if l.up != nil {
		b.keep = b.keep && b.done && l.up.complete()
		l.call.Written = l.up.finished()
	}

	if !b.done || !b.keep || l.in.buffered() > 0 ||
		l.accepted < len(l.out)+len(l.inline) && l.up == nil {
		l.discard()
		l.forget()
		return nil
	}

	if l.up != nil {
		l.up.stop()
	}
	if l.release != nil {
		l.release()
	}

	l.account()
	l.keep = keepFor(l.head.idle, l.t.idleTimeout())
	l.forget()
	l.in.reset()
	l.t.put(l)

	return nil
}

// finish reads the end of a body if it is there already.
func (b *content) finish() {
	if b.done || b.err != nil || b.in.buffered() == 0 || b.framing == untilClose {
		return
	}

	if b.framing == byLength && b.left <= int64(b.in.buffered()) {
		b.in.skip(int(b.left))
		b.left, b.done = 0, true
	}
}

// forget drops what belongs to the transaction.
func (l *link) forget() {
	l.request, l.call, l.client, l.writer, l.shared = nil, nil, nil, nil, nil
	l.context, l.release, l.up, l.own = nil, nil, nil, nil
	l.inline, l.failure, l.dst = nil, nil, nil
	if cap(l.out) > 2*outLimit {
		l.out = nil
	}
}

// keepFor returns how long a connection may be idle. It is less than the
// timeout in the backend's Keep-Alive, so that the backend is never the first
// to close it.
func keepFor(field string, usual time.Duration) time.Duration {
	n, ok := keepAliveTimeout(field)
	if !ok {
		return usual
	}

	said := time.Duration(n) * time.Second

	return min(usual, max(said-time.Second, said/2))
}

// keepAliveTimeout reads the parameter of a field like "timeout=5, max=100".
func keepAliveTimeout(field string) (int, bool) {
	for i := 0; i+8 < len(field); i++ {
		if wire.EqualFold(field[i:i+8], "timeout=") {
			rest := field[i+8:]
			end := 0
			for end < len(rest) && end < 9 && digit(rest[end]) {
				end++
			}

			n, err := strconv.Atoi(rest[:end])
			return n, err == nil
		}
	}

	return 0, false
}
