package cache

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// body is the content of an answer in memory, which may still grow. While it
// grows, a reader that has read everything so far reads the next bytes from the
// service for all readers, so a slow client does not delay the others. If a
// body becomes too large to be stored, its beginning is dropped, and its
// readers share only the last bytes.
type body struct {
	cache   *Cache
	shard   *shard
	entry   *entry
	mu      sync.Mutex
	first   *piece // may be empty; nil when the beginning is not kept
	last    *piece
	size    int64 // bytes so far
	length  int64 // as declared, or -1
	over    bool  // it is not kept
	ended   bool
	err     error  // the error with which it ended; nil is complete
	fetch   *fetch // the request that fetches the body; nil when it has ended
	source  io.Reader
	pulling bool
	wake    chan struct{} // closed at the next change; nil while no reader waits
	readers []*reader
}

// piece is a part of a body. Bytes are only ever added at its end.
type piece struct {
	bytes []byte
	next  *piece
}

const (
	firstPiece = 4 << 10
	mostPiece  = 64 << 10

	// How far the readers of a body that is not kept may be apart.
	window = 256 << 10
	// How long the others wait while the slowest reader makes no progress.
	slowestReaderWait = 5 * time.Second
)

var (
	errAborted  = errors.New("nobody was left who wanted the answer")
	errPanicked = errors.New("reading the answer panicked")
	errSlow     = errors.New("the client is too far behind others who read the same answer")
)

// kept is an entry with what it always has, in one allocation.
type kept struct {
	entry  entry
	head   stored // the first
	body   body
	start  piece
	reader [1]*reader // the first
}

// memory returns the memory for fields of a size. If the body is known to be
// small, it comes right behind them.
func (k *kept) memory(fields int, body int64) packed {
	if body < 0 || body > firstPiece {
		return make(packed, 0, fields)
	}
	both := make([]byte, fields, int64(fields)+body)
	k.start.bytes = both[fields:]
	return both[:0:fields]
}

// begin makes the body that of an answer that is being fetched.
func (k *kept) begin(f *fetch, resp *http.Response) {
	k.entry.body = &k.body
	b := &k.body
	b.cache, b.shard, b.entry, b.length = f.cache, f.shard, &k.entry, resp.ContentLength
	if b.ended = b.length == 0; !b.ended {
		b.fetch, b.source = f, resp.Body
	}
	b.first, b.last, b.readers = &k.start, &k.start, k.reader[:0]
}

// reader makes another reader that begins at the start. It reports false if the
// start is not kept any more.
func (b *body) reader(r *reader) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.first == nil || b.err != nil {
		return false
	}
	r.body, r.at, r.offset, r.position, r.left = b, b.first, 0, 0, -1
	r.cut, r.gone = false, nil
	if !b.ended {
		b.readers = append(b.readers, r)
		r.listed = true
	}
	return true
}

// complete reports whether all of the body has come.
func (b *body) complete() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ended && b.err == nil
}

// broken reports whether the body can't be read from its start.
func (b *body) broken() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err != nil || b.first == nil
}

// shared reports whether the body has a reader beside the one that fetches it.
func (b *body) shared() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.readers {
		if r.owner == nil && (r.gone == nil || !r.gone.Load()) {
			return true
		}
	}
	return false
}

// changed wakes the waiting readers. The caller holds the lock.
func (b *body) changed() {
	if b.wake != nil {
		close(b.wake)
		b.wake = nil
	}
}

// change returns a channel that is closed at the next change. The caller holds
// the lock.
func (b *body) change() chan struct{} {
	if b.wake == nil {
		b.wake = make(chan struct{})
	}
	return b.wake
}

// pull reads the next bytes from the service. The caller holds the lock, which
// is released during the read.
func (b *body) pull() {
	b.pulling = true
	if b.over {
		b.waitForSlowest()
	}
	n, err := b.read(b.room())
	b.pulling = false
	at := b.last
	at.bytes = at.bytes[:len(at.bytes)+n]
	b.size += int64(n)
	switch {
	case err == io.EOF && b.length >= 0 && b.size != b.length:
		err = &wire.Error{Outcome: wire.Broken, Phase: wire.Body, Err: io.ErrUnexpectedEOF}
	case err == io.EOF, err == nil && b.size == b.length:
		err = nil
		b.ended = true
	}
	if err != nil {
		b.ended, b.err = true, err
	}
	b.changed()
	if b.ended {
		b.finish()
	}
}

// read reads from the source without the lock. After a panic it ends the body,
// because its other readers wait for this one.
func (b *body) read(room []byte) (n int, err error) {
	returned := false
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		if !returned {
			b.pulling = false
			b.end(errPanicked)
		}
	}()
	n, err = b.source.Read(room)
	returned = true

	return n, err
}

// end ends the body before it is complete. The caller holds the lock.
func (b *body) end(why error) {
	b.ended, b.err = true, &wire.Error{Outcome: wire.Broken, Phase: wire.Body, Err: why}
	b.changed()
	b.finish()
}

// finish ends the body. The caller holds the lock, which is released for a
// moment.
func (b *body) finish() {
	complete := b.err == nil && !b.over
	if complete {
		b.trim()
	}
	f := b.fetch
	b.fetch, b.source = nil, nil // which hold on to a request and a connection
	b.mu.Unlock()
	if f != nil {
		f.ended(b.entry, f.answer, complete)
	}
	b.mu.Lock()
}

// room returns the space for the next bytes: behind the last ones, or in a new
// piece.
func (b *body) room() []byte {
	at := b.last
	if b.over && len(b.readers) == 1 && b.readers[0].at == at && b.readers[0].offset == len(at.bytes) {
		at.bytes, b.readers[0].offset = at.bytes[:0], 0 // no reader needs the old bytes
	}
	if free := cap(at.bytes) - len(at.bytes); free > 0 {
		return at.bytes[len(at.bytes):cap(at.bytes)]
	}
	n := b.next()
	if !b.over && !b.admit(int64(n)) {
		b.overflow()
	}
	p := &piece{bytes: make([]byte, 0, n)}
	at.next, b.last = p, p
	return p.bytes[:n]
}

// next returns the size of the next piece. A body of known length is one piece.
func (b *body) next() int {
	switch {
	case b.length > 0 && !b.over && b.size == 0:
		return int(b.length)
	case b.over:
		return mostPiece / 2
	}
	return int(min(max(b.size, firstPiece), mostPiece))
}

// admit takes memory for more of a body of unknown length. For a known length,
// it was taken with the head.
func (b *body) admit(n int64) bool {
	if b.length >= 0 {
		return true
	}
	if b.size+1 > b.cache.mostObject {
		b.cache.refuse(tooLarge)
		return false
	}
	if !b.cache.store.reserve(b.shard, n) {
		b.cache.refuse(noRoom)
		return false
	}
	b.entry.size.Add(n)
	return true
}

// overflow stops keeping the start of the body. Bytes are then kept only for
// readers that have not read them yet.
func (b *body) overflow() {
	b.over, b.first = true, nil
	b.mu.Unlock()
	b.cache.store.discard(b.shard, b.entry)
	b.mu.Lock()
}

// trim copies the last piece if much of it is empty, and returns the memory.
func (b *body) trim() {
	p := b.last
	spare := cap(p.bytes) - len(p.bytes)
	if b.length >= 0 || p == b.first || spare < cap(p.bytes)/8 {
		return
	}
	p.bytes = append(make([]byte, 0, len(p.bytes)), p.bytes...)
	b.entry.size.Add(-int64(spare))
	b.cache.store.give(int64(spare))
}

// waitForSlowest waits for the reader that is furthest behind. A reader that
// makes no progress loses the body.
func (b *body) waitForSlowest() {
	moved, position := time.Now(), int64(-1)
	for {
		slowest := b.slowest()
		if slowest == nil || b.size-slowest.position < window {
			return
		}
		if slowest.position != position {
			moved, position = time.Now(), slowest.position
		}
		left := slowestReaderWait - time.Since(moved)
		if left <= 0 {
			slowest.cut = true
			b.leave(slowest)
			continue
		}
		b.waitAtMost(left)
	}
}

func (b *body) slowest() (r *reader) {
	for _, o := range b.readers {
		if r == nil || o.position < r.position {
			r = o
		}
	}
	return r
}

// waitAtMost waits for a change. The lock is released meanwhile.
func (b *body) waitAtMost(d time.Duration) {
	change := b.change()
	b.mu.Unlock()
	t := time.NewTimer(d)
	select {
	case <-change:
	case <-t.C:
	}
	t.Stop()
	b.mu.Lock()
}

// leave removes a reader from the list. The caller holds the lock.
func (b *body) leave(r *reader) {
	if !r.listed {
		return
	}
	r.listed = false
	for i, o := range b.readers {
		if o == r {
			last := len(b.readers) - 1
			b.readers[i], b.readers[last] = b.readers[last], nil
			b.readers = b.readers[:last]
			break
		}
	}
	b.changed()
}

// settle is called by the owner of the source when its own reader is done. It
// reads the rest while other readers want it or if wanted is set, until the
// given time. It returns when no other reader uses the source any more.
func (b *body) settle(wanted bool, until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		switch {
		case b.pulling:
			change := b.change()
			b.mu.Unlock()
			<-change
			b.mu.Lock()
		case b.ended:
			return
		case (len(b.readers) > 0 || wanted && !b.over) && time.Now().Before(until):
			b.pull()
		default:
			b.end(errAborted)
			return
		}
	}
}
