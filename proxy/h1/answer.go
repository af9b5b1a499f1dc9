package h1

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

// answer is a response with its body in one piece of memory. It is never a part of the link: a second Close must find
// its own link gone and not somebody else's exchange.
type answer struct {
	http.Response
	content content
}

// content is a response's body. A writer of this package knows it, and splices what is left of a known length.
type content struct {
	payload
	l        *link // nil after Close
	response *http.Response
	keep     bool // the connection can be used again
	err      error
	sent     io.Closer // a request body that is ours to close
}

// Read returns io.EOF together with the last bytes where those are known to be the last. Its other errors are *Error.
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

// fail makes the body unreadable. The link is closed by Close.
func (b *content) fail(err error) {
	e := &Error{Err: err}
	if !errors.As(err, &e) {
		e = &Error{Err: err}
	}
	e.Outcome, e.Phase = Broken, Body
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

// Close gives the connection back when the whole of both messages is through it and nothing else came, and closes it
// otherwise: bytes behind a response belong to nobody.
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
	if !b.done || !b.keep || l.in.buffered() > 0 || l.accepted < len(l.out)+len(l.inline) && l.up == nil {
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
	l.keep = keepFor(l.head.idle, l.t.idleTimeout())
	l.forget()
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

// forget lets go of the exchange's things.
func (l *link) forget() {
	l.request, l.call, l.client, l.writer, l.context, l.release, l.up, l.own = nil, nil, nil, nil, nil, nil, nil, nil
	l.inline, l.failure, l.dst = nil, nil, nil
	if cap(l.out) > 2*outLimit {
		l.out = nil
	}
}

// keepFor is how long a connection may idle: less than the backend says in Keep-Alive: timeout=N, so that it is never
// the backend that closes first.
func keepFor(field string, usual time.Duration) time.Duration {
	n, ok := keepAliveTimeout(field)
	if !ok {
		return usual
	}
	said := time.Duration(n) * time.Second
	return min(usual, max(said-time.Second, said/2))
}

// keepAliveTimeout finds the parameter in a field like "timeout=5, max=100".
func keepAliveTimeout(field string) (int, bool) {
	for i := 0; i+8 < len(field); i++ {
		if equalFold(field[i:i+8], "timeout=") {
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
