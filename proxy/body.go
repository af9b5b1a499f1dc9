package proxy

import (
	"io"
	"sync"
	"sync/atomic"

	"github.com/pillion-lb/pillion/proxy/h1"
)

// replay is the request body as attempts see it. What an attempt reads is kept, up to a limit, so that the next attempt
// can read it again; beyond the limit the body can't be sent twice. Each attempt gets a view of its own, and a view
// that was closed reads nothing more: a transport that is slow to let go can't eat the next attempt's bytes, because
// what it still reads is kept for that one.
type replay struct {
	source  io.ReadCloser
	length  int64      // as declared; -1 when it was not
	reading sync.Mutex // held while the client is read

	mu      sync.Mutex // guards what follows
	kept    []byte
	limit   int64 // how much may be kept
	max     int64 // LB_MAX_BODY_BYTES; 0 is none
	read    int64 // from the client
	pending int64 // what a read in progress may bring at the most
	lost    bool  // more was read than is kept
	err     error // what the source ended with
}

// reset takes a new request's body.
func (b *replay) reset(source io.ReadCloser, length, limit, max int64) {
	b.source, b.length, b.limit, b.max = source, length, limit, max
	b.kept = b.kept[:0]
	b.read, b.pending, b.lost, b.err = 0, 0, false, nil
}

// whole reports whether another attempt could send the body from its start.
func (b *replay) whole() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.lost && int64(len(b.kept))+b.pending <= b.limit
}

// complete reports whether the client has sent everything, and all of it is kept.
func (b *replay) complete() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.lost && (b.err == io.EOF || b.length >= 0 && b.read >= b.length)
}

// size is how many bytes the client has sent.
func (b *replay) size() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.read
}

// view is one attempt's body.
type view struct {
	body   *replay
	offset int
	closed atomic.Bool
	last   io.Closer // the client's body, once there is to be no other attempt; guarded by the body's mutex
}

// Read reads what earlier attempts left first, then the client.
func (v *view) Read(p []byte) (int, error) {
	if n, err, ok := v.again(p, false); ok {
		return n, err
	}
	b := v.body
	b.reading.Lock()
	defer b.reading.Unlock()
	if n, err, ok := v.again(p, true); ok { // an earlier attempt's read has just brought more
		return n, err
	}
	n, err := b.source.Read(p)
	if err != nil && err != io.EOF && v.closed.Load() {
		err = io.ErrClosedPipe // our own doing, or too late to matter
	}
	return v.take(p[:n], err)
}

// again reads what is kept. It reports whether the question is answered without the client. If it is not and the client
// is to be asked, that is noted at once, so that nobody who closes the view can miss it.
func (v *view) again(p []byte, ask bool) (int, error, bool) {
	b := v.body
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case v.closed.Load():
		return 0, io.ErrClosedPipe, true
	case v.offset < len(b.kept):
		n := copy(p, b.kept[v.offset:])
		v.offset += n
		if v.offset == len(b.kept) && b.err == io.EOF {
			return n, io.EOF, true
		}
		return n, nil, true
	case b.err != nil:
		return 0, b.err, true
	}
	if ask {
		b.pending = int64(len(p))
	}
	return 0, nil, false
}

// take keeps what was read as long as it fits.
func (v *view) take(p []byte, err error) (int, error) {
	b := v.body
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pending = 0
	b.read += int64(len(p))
	if b.max > 0 && b.read > b.max {
		err = &h1.Error{Outcome: h1.NoAnswer, Phase: h1.Write, Client: h1.TooLarge, Err: errTooLarge}
	}
	b.err = err
	if len(p) > 0 && (b.lost || int64(len(b.kept)+len(p)) > b.limit) {
		b.lost = true
		return len(p), err
	}
	b.kept = append(b.kept, p...)
	v.offset = len(b.kept)
	return len(p), err
}

// Close ends the view. The client's body stays open for the next attempt, if there may be one; else a read in progress
// ends as well.
func (v *view) Close() error {
	v.body.mu.Lock()
	v.closed.Store(true)
	source := v.last
	v.body.mu.Unlock()
	if source != nil {
		source.Close()
	}
	return nil
}

// settle says that there will be no other attempt. Whoever closed the view before, for the connection was lost, waits for
// his read to end.
func (v *view) settle() {
	v.body.mu.Lock()
	source := v.body.source
	v.last = source
	closed := v.closed.Load()
	v.body.mu.Unlock()
	if closed && source != nil {
		source.Close()
	}
}

// Len is how much of the body is in memory when that is all of it, else 0: a transport sends such a body together with
// the request head.
func (v *view) Len() int {
	b := v.body
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.kept) - v.offset; b.err == io.EOF && !b.lost {
		return n
	}
	if s, ok := b.source.(interface{ Len() int }); ok && b.read == 0 && int64(s.Len()) == b.length {
		return s.Len()
	}
	return 0
}
