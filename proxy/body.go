package proxy

import (
	"io"
	"sync"
	"sync/atomic"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// replayBody is a client's request body that several attempts can read. What
// one attempt reads is kept, up to a limit, and the next attempt reads it
// again. A body that is longer than the limit can't be sent twice.
//
// Each attempt has an attemptBody. A closed attemptBody delivers nothing more,
// but a read that it began may still be waiting for the client. What that read
// brings is kept for the next attempt, which waits for it. release ends such a
// read and waits for its end, so that nothing reads the client's body after the
// handler has returned.
type replayBody struct {
	source  io.ReadCloser
	length  int64        // as declared, or -1
	current *attemptBody // of the attempt in progress; used only by the goroutine of the exchange
	reading sync.Mutex   // held while the client's body is read

	mu         sync.Mutex // guards the fields below
	kept       replayBuffer
	limit      int64 // how much may be kept
	max        int64 // LB_MAX_BODY_BYTES; 0 is none
	read       int64 // bytes that came from the client
	pending    int64 // the most bytes that a read in progress can bring
	overflowed bool  // more was read than is kept
	err        error // the error with which the source ended
	// Called once, when all of the body is kept. It must not use the bytes
	// after it has returned. It may be nil.
	whole func(body []byte)
}

// reset prepares b for the body of another request.
func (b *replayBody) reset(source io.ReadCloser, length, limit, max int64) {
	b.source, b.length, b.limit, b.max = source, length, limit, max
	b.kept.clear()
	b.read, b.pending, b.overflowed, b.err, b.whole = 0, 0, false, nil, nil
}

// attempt closes the body of the previous attempt and returns one that starts
// at the first byte. It is always a new one, because a transport may still hold
// the previous one.
func (b *replayBody) attempt() *attemptBody {
	b.closeCurrent()
	b.current = &attemptBody{body: b}

	return b.current
}

// closeCurrent closes the body of the attempt in progress, if there is one.
func (b *replayBody) closeCurrent() {
	if b.current != nil {
		b.current.Close()
	}
}

// noMoreAttempts declares that the attempt in progress is the last one.
func (b *replayBody) noMoreAttempts() {
	if b.current != nil {
		b.current.noMoreAttempts()
	}
}

// release ends all reading and waits until it has ended. After that only the
// owner uses the source: a transport's goroutine that reads later finds its
// attemptBody closed before it touches the source.
func (b *replayBody) release() {
	b.closeCurrent()

	if !b.reading.TryLock() {
		b.source.Close() // ends the read in progress
		b.reading.Lock()
	}

	b.source, b.current = nil, nil
	b.reading.Unlock()
}

// replayable reports whether another attempt could send the body from its
// start.
func (b *replayBody) replayable() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.overflowed && int64(len(b.kept.bytes))+b.pending <= b.limit
}

// complete reports whether the client has sent its whole body and all of it is
// kept.
func (b *replayBody) complete() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.isComplete()
}

// isComplete is complete for a caller that holds the mutex.
func (b *replayBody) isComplete() bool {
	return !b.overflowed && (b.err == io.EOF || b.length >= 0 && b.read >= b.length)
}

// forget drops whole. It reports whether whole was not called yet, and whether
// the body is longer than what is kept.
func (b *replayBody) forget() (pending, tooLong bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	pending, b.whole = b.whole != nil, nil

	return pending, b.overflowed
}

// size returns how many bytes the client has sent.
func (b *replayBody) size() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.read
}

// attemptBody is the request body of one attempt.
type attemptBody struct {
	body   *replayBody
	offset int
	closed atomic.Bool
	// The client's body, set when no other attempt may follow. Guarded by
	// body.mu.
	client io.Closer
}

// Read returns what earlier attempts have read, and then reads from the client.
func (v *attemptBody) Read(p []byte) (int, error) {
	if n, err, ok := v.readKept(p); ok {
		return n, err
	}

	b := v.body
	b.reading.Lock()
	defer b.reading.Unlock()

	// A read of an earlier attempt may just have brought more.
	if n, err, ok := v.readKept(p); ok {
		return n, err
	}

	p, ok := v.limitRead(p)
	if !ok {
		return 0, io.ErrClosedPipe
	}

	n, err := b.source.Read(p)
	if err != nil && err != io.EOF && v.closed.Load() {
		err = io.ErrClosedPipe // closed by Pillion, or too late to matter
	}

	return v.keep(p[:n], err)
}

// readKept reads from the bytes that are kept. It reports false if the client
// has to be read.
func (v *attemptBody) readKept(p []byte) (int, error, bool) {
	b := v.body
	b.mu.Lock()
	defer b.mu.Unlock()

	switch {
	case v.closed.Load():
		return 0, io.ErrClosedPipe, true
	case v.offset < len(b.kept.bytes):
		n := copy(p, b.kept.bytes[v.offset:])
		v.offset += n
		if v.offset == len(b.kept.bytes) && b.err == io.EOF {
			return n, io.EOF, true
		}

		return n, nil, true
	case b.err != nil:
		return 0, b.err, true
	}

	return 0, nil, false
}

// limitRead prepares a read from the client, and reports false if the attempt
// is closed. It notes how many bytes the read may bring, so that replayable can
// count them. As long as bytes can be kept, the read is limited to what fits: a
// transport with a larger buffer would otherwise end the right to a retry
// although only a few bytes come.
func (v *attemptBody) limitRead(p []byte) ([]byte, bool) {
	b := v.body
	b.mu.Lock()
	defer b.mu.Unlock()

	if v.closed.Load() {
		return nil, false
	}

	if room := b.limit - int64(len(b.kept.bytes)); !b.overflowed && room > 0 {
		p = p[:min(int64(len(p)), room)]
	}

	b.pending = int64(len(p))

	return p, true
}

// keep stores what was read from the client for a retry, as long as it fits. If
// the body was closed meanwhile, the reader gets an error and no io.EOF,
// because after io.EOF its transport would read the trailers.
func (v *attemptBody) keep(p []byte, err error) (int, error) {
	b := v.body
	b.mu.Lock()
	defer b.mu.Unlock()

	b.pending = 0
	b.read += int64(len(p))
	if b.max > 0 && b.read > b.max {
		err = &wire.Error{
			Outcome: wire.NoAnswer,
			Phase:   wire.Write,
			Client:  wire.TooLarge,
			Err:     errTooLarge,
		}
	}

	b.err = err

	switch {
	case len(p) == 0:
	case b.overflowed || !b.kept.add(p, b.limit):
		b.overflowed = true
	default:
		v.offset = len(b.kept.bytes)
	}

	if b.whole != nil && b.isComplete() {
		b.whole(b.kept.bytes)
		b.whole = nil
	}

	if v.closed.Load() {
		return 0, io.ErrClosedPipe
	}

	return len(p), err
}

// Again closes v and returns another body that starts at the first byte. It
// reports false if the first bytes are not kept any more.
func (v *attemptBody) Again() (io.ReadCloser, bool) {
	v.Close()
	if !v.body.replayable() {
		return nil, false
	}

	return v.body.attempt(), true
}

// Close ends the attempt's reading. The client's body stays open for the next
// attempt. If no attempt may follow, a read in progress ends too.
func (v *attemptBody) Close() error {
	v.body.mu.Lock()
	v.closed.Store(true)
	source := v.client
	v.body.mu.Unlock()
	if source != nil {
		source.Close()
	}

	return nil
}

// noMoreAttempts declares that no attempt follows v. If the transport has
// closed v because its connection broke, its read ends now.
func (v *attemptBody) noMoreAttempts() {
	v.body.mu.Lock()
	source := v.body.source
	v.client = source
	closed := v.closed.Load()
	v.body.mu.Unlock()
	if closed && source != nil {
		source.Close()
	}
}

// Whole returns the size of the rest of the body, if all of it is in memory and
// the body ends after it. A body from HTTP/2 may be like that without having
// announced a length.
func (v *attemptBody) Whole() (int, bool) {
	b := v.body
	b.mu.Lock()
	defer b.mu.Unlock()

	n := len(b.kept.bytes) - v.offset
	if b.err == io.EOF && !b.overflowed {
		return n, true
	}

	s, ok := b.source.(interface{ Whole() (int, bool) })
	if ok && b.err == nil && n == 0 && b.read == 0 {
		return s.Whole()
	}

	return 0, false
}

// Len returns the size of the rest of the body if all of it is in memory, else
// 0. A transport sends such a body together with the request head.
func (v *attemptBody) Len() int {
	b := v.body
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.kept.bytes) - v.offset; b.err == io.EOF && !b.overflowed {
		return n
	}

	if s, ok := b.source.(interface{ Len() int }); ok && b.read == 0 && int64(s.Len()) == b.length {
		return s.Len()
	}

	return 0
}
