package cache

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// reader reads a body for one client. It is the Body of an answer, and belongs
// to one goroutine.
type reader struct {
	body     *body
	entry    *entry // held until Close; nil for none
	at       *piece
	offset   int
	position int64
	left     int64 // bytes left of a range; -1 is up to the end
	listed   bool
	cut      bool         // it was too slow and lost the body
	gone     *atomic.Bool // its client has left; nil while the client is not watched
	context  context.Context

	// Set in the reader whose request fetches the body.
	owner  *fetch
	wanted bool // the rest is stored even if this reader does not want it
	// fetched is the service's answer. mine is that of this client, which gets
	// the trailers at the end.
	fetched, mine *http.Response
}

// skip moves to a range of a complete body.
func (r *reader) skip(n, length int64) {
	r.left = length
	for r.at != nil && n > 0 {
		step := min(n, int64(len(r.at.bytes)-r.offset))
		r.offset += int(step)
		if n -= step; n > 0 {
			r.at, r.offset = r.at.next, 0
		}
	}
}

// Read reads into p.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	bytes, err := r.peek(nil)
	if err != nil {
		return 0, err
	}
	n := copy(p, bytes)
	r.advance(n)
	return n, nil
}

// WriteTo writes the body without copying it, and flushes before every wait. An
// error of the body is a *wire.Error. Other errors are those of the writer.
func (r *reader) WriteTo(w io.Writer) (n int64, err error) {
	flusher, _ := w.(http.Flusher)
	for {
		bytes, err := r.peek(flusher)
		if err == io.EOF {
			if r.wanted && flusher != nil {
				flusher.Flush() // Close reads on, and the client has all that it gets
			}
			return n, nil
		}
		if err != nil {
			return n, err
		}
		m, err := w.Write(bytes)
		n += int64(m)
		if err != nil {
			return n, err
		}
		r.advance(m)
	}
}

// peek waits for the next bytes and returns them. They don't change while the
// entry is held.
func (r *reader) peek(flusher http.Flusher) ([]byte, error) {
	if r.body == nil || r.left == 0 {
		return nil, io.EOF
	}
	b := r.body
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		if r.cut {
			return nil, &wire.Error{Outcome: wire.Broken, Phase: wire.Body, Client: wire.Stalled,
				Err: errSlow}
		}
		if bytes := r.there(); len(bytes) > 0 {
			return bytes, nil
		}
		if b.ended {
			if r.mine != nil {
				r.mine.Trailer = r.fetched.Trailer
			}
			return nil, ending(b.err)
		}
		if flusher != nil && r.position > 0 {
			b.flush(flusher)
			flusher = nil
			continue
		}
		if err := r.wait(); err != nil {
			return nil, err
		}
	}
}

// flush flushes without the lock, and takes it again also after a panic.
func (b *body) flush(f http.Flusher) {
	b.mu.Unlock()
	defer b.mu.Lock()
	f.Flush()
}

// there returns the bytes that have come and were not read.
func (r *reader) there() []byte {
	for r.offset == len(r.at.bytes) && r.at.next != nil {
		r.at, r.offset = r.at.next, 0
	}
	bytes := r.at.bytes[r.offset:]
	if r.left >= 0 && int64(len(bytes)) > r.left {
		bytes = bytes[:r.left]
	}
	return bytes
}

// wait reads from the service, or waits for the reader that does.
func (r *reader) wait() error {
	b := r.body
	if !b.pulling {
		defer r.lookOut()()
		b.pull()
		return nil
	}
	change := b.change()
	b.mu.Unlock()
	defer b.mu.Lock()
	if r.context == nil {
		<-change
		return nil
	}
	select {
	case <-change:
	case <-r.context.Done():
		return &wire.Error{Outcome: wire.Broken, Phase: wire.Body, Client: wire.Gone,
			Err: r.context.Err()}
	}
	return nil
}

// lookOut watches the client of a reader that reads from the service for all.
// The fetch watches its own client.
func (r *reader) lookOut() (stop func() bool) {
	if r.owner != nil || r.context == nil {
		return func() bool { return true }
	}
	gone, f := new(atomic.Bool), r.body.fetch // the watch may outlive the reader
	r.gone = gone

	return context.AfterFunc(r.context, func() {
		gone.Store(true)
		f.check()
	})
}

// advance moves n bytes on. It takes the lock, because a goroutine that reads
// for all may reuse the memory of what this reader has read (room).
func (r *reader) advance(n int) {
	r.body.mu.Lock()
	defer r.body.mu.Unlock()
	r.offset += n
	r.position += int64(n)
	if r.left > 0 {
		r.left -= int64(n)
	}
	if r.listed && r.body.over {
		r.body.changed()
	}
}

// ending returns the error with which a read ends.
func ending(err error) error {
	if err == nil {
		return io.EOF
	}
	return wire.AsError(err)
}

// Buffered returns how many bytes can be read without waiting.
func (r *reader) Buffered() int {
	if r.body == nil {
		return 0
	}
	r.body.mu.Lock()
	defer r.body.mu.Unlock()
	if n := len(r.there()); n > 0 || r.body.ended {
		return n
	}
	if s, ok := r.body.source.(interface{ Buffered() int }); ok && !r.body.pulling {
		return s.Buffered()
	}
	return 0
}

// Close releases the body. The reader whose request fetches it first reads or
// ends the rest.
func (r *reader) Close() error {
	b := r.body
	if b == nil && r.owner == nil {
		return nil
	}
	if b != nil {
		b.mu.Lock()
		b.leave(r)
		f := b.fetch // nil when the body has ended
		b.mu.Unlock()
		switch {
		case r.owner != nil && f != nil:
			b.settle(r.wanted, time.Now().Add(r.owner.patience))
		case f != nil:
			f.check()
		}
	}
	if r.entry != nil {
		r.entry.drop(&b.cache.store.memory)
	}
	if r.owner != nil {
		r.owner.close()
	}
	*r = reader{}
	return nil
}
