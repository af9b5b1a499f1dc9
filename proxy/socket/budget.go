package socket

import (
	"sync"
	"sync/atomic"
	"time"
)

// Budget bounds the memory that clients and backends can make the process hold.
// Each buffer, stream, body or connection may be small, and all of them
// together may still be more than the container has. Code that keeps memory for
// a peer first takes its size from the one budget of the process, and gives it
// back afterwards:
//
//	if !budget.Take(size, socket.Needed) {
//		// Answer 503, reset the stream, refuse the connection.
//	}
//	defer budget.Give(size)
//
// Take decides by what the memory is for (see Priority). What only makes things
// faster is refused first, what a request can't do without last. So a request
// still finds memory when everything else is refused already.
//
// When seven eighths are taken, Take itself asks the functions given to OnTight
// for memory that is only kept, and then those given to OnShort to end what can
// be ended. They close idle connections, the longest idle first, then
// connections whose client keeps them waiting. A connection that
// ends gives its memory back a moment later, from its own goroutine.
//
// Memory that is pooled and not in use is not counted, since the garbage
// collector can have it at any time. What lasts no longer than a function call
// is not counted either.
//
// A connection does not take and give at each request. It takes one Share for
// its ordinary work, which it keeps between two requests as long as there is
// plenty, and has an Account for what grows beyond that.
//
// The nil Budget and the one of NewBudget(0) bound nothing. All methods are
// safe for concurrent use. Take must not be called with a lock that a function
// given to OnShort takes.
type Budget struct {
	limit   int64        // bytes; 0 bounds nothing
	used    atomic.Int64 // bytes taken
	unknown atomic.Int64 // bytes that the collector found beyond those taken, see Observe

	mu       sync.Mutex // held while load is shed
	trimmers []func() (freed int64)
	shedders []func(need int64) (freed int64)
	next     time.Time    // there is no shedding before this
	relieved atomic.Bool  // the last round of shedding found something to end
	observed atomic.Int64 // when Observe was called last, in Unix nanoseconds

	sheds sheds
}

// Priority is what memory is for. It decides up to which part of the budget the
// memory can be had.
type Priority uint8

const (
	// Optional memory makes something faster or better that works without it: a
	// larger buffer or window, a body kept for replay. It is refused when half
	// of the budget is taken.
	Optional Priority = iota
	// Lasting memory belongs to something that may stay for hours without
	// progress: a tunnel. It is refused when three quarters are taken.
	Lasting
	// Needed memory is what a connection or a request can't do without. It is
	// refused when the budget is used up.
	Needed
)

// parts is how many eighths of the budget may be taken when memory of each
// priority is granted.
var parts = [...]int64{Optional: 4, Lasting: 6, Needed: 8}

const (
	shedFrom = 7 // eighths of the budget from which on load is shed
	shedTo   = 6 // eighths of the budget at which shedding stops

	// shedPause is the time between two rounds of shedding. Connections that a
	// round has ended need this time to free their memory. Without the pause,
	// the next round would end more connections than necessary.
	shedPause = 5 * time.Millisecond

	// observedFor is how long an observation counts when memory is short.
	observedFor = time.Second
)

// NewBudget makes a budget of so many bytes; 0 bounds nothing.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// OnTight registers a function that gives kept memory back and ends nothing. It
// is called before the functions given to OnShort, but not by Relieve, because
// memory is no descriptor. It returns how many bytes it gave back. It must not
// block or call Take. OnTight must be called before the first Take.
func (b *Budget) OnTight(trim func() (freed int64)) { b.trimmers = append(b.trimmers, trim) }

// OnShort registers a function that sheds load. It is called when the budget is
// nearly used up, or by Relieve. shed ends what holds at least need bytes, if
// that may be ended, and returns how many bytes will come back. It counts what
// it has ended with Count. It must not block or call Take. The functions are
// called in the order of registration until there is enough. OnShort must be
// called before the first Take.
func (b *Budget) OnShort(shed func(need int64) (freed int64)) {
	b.shedders = append(b.shedders, shed)
}

// Take takes n bytes, or nothing. It reports whether it took them.
func (b *Budget) Take(n int64, p Priority) bool {
	if b.unbounded() {
		return true
	}

	used := b.used.Add(n) + b.unknown.Load()
	fits := used <= b.limit/8*parts[p]
	if !fits {
		b.used.Add(-n)
	}

	if p == Needed && used > b.limit/8*shedFrom {
		b.shed(used - b.limit/8*shedTo)
	}

	return fits
}

// Await is Take of needed memory for a caller that can wait. While load is
// shed, it waits for memory to come back, up to the limit.
func (b *Budget) Await(n int64, limit time.Duration) bool {
	for waited := time.Duration(0); !b.Take(n, Needed); waited += shedPause {
		if waited >= limit || !b.Relieved() {
			return false
		}
		time.Sleep(shedPause)
	}
	return true
}

// Give returns n bytes that were taken.
func (b *Budget) Give(n int64) {
	if !b.unbounded() {
		b.used.Add(-n)
	}
}

// Tight reports whether optional memory is refused. Memory that is only kept
// for reuse should then be given back.
func (b *Budget) Tight() bool { return b.over(parts[Optional]) }

// Short reports whether load is being shed. An HTTP/2 server then accepts no
// more streams on busy connections, and sends GOAWAY on idle ones.
func (b *Budget) Short() bool { return b.over(shedFrom) }

func (b *Budget) over(eighths int64) bool {
	return !b.unbounded() && b.used.Load()+b.unknown.Load() > b.limit/8*eighths
}

func (b *Budget) unbounded() bool { return b == nil || b.limit <= 0 }

// Relieve sheds load although there is memory, because something else has run
// out: connections or descriptors. It ends connections that hold need bytes,
// and returns how many bytes will come back.
func (b *Budget) Relieve(need int64) (freed int64) {
	if b == nil {
		return 0
	}

	b.mu.Lock()
	defer b.mu.Unlock()

	return b.end(need, 0)
}

// shed lets one caller at a time shed load. Other callers return at once,
// because the work is being done.
func (b *Budget) shed(need int64) {
	if !b.mu.TryLock() {
		return
	}
	defer b.mu.Unlock()

	now := time.Now()
	if now.Before(b.next) {
		return
	}

	b.next = now.Add(shedPause)

	// An old observation may be wrong by now. If everything is refused because
	// of it, nothing is allocated and the collector does not run again.
	if now.UnixNano()-b.observed.Load() > int64(observedFor) {
		b.unknown.Store(0)
	}

	// A recent one may be wrong too, if it counted connections that have ended
	// since. If nothing is left that could be ended, it is of no use.
	if b.ask(need) == 0 {
		b.unknown.Store(0)
	}
}

// ask calls the trimmers, and the shedders for what is lacking then. The caller
// holds the mutex.
func (b *Budget) ask(need int64) (freed int64) {
	for _, trim := range b.trimmers {
		freed += trim()
	}

	return b.end(need, freed)
}

// end calls the shedders until need bytes are freed, of which some are already.
// The caller holds the mutex.
func (b *Budget) end(need, freed int64) int64 {
	for _, shed := range b.shedders {
		if freed >= need {
			break
		}
		freed += shed(need - freed)
	}

	b.relieved.Store(freed > 0)

	return freed
}

// Relieved reports whether the last round of shedding found something to end.
// Then memory will come back, and it is worth waiting a moment.
func (b *Budget) Relieved() bool { return b != nil && b.relieved.Load() }

// Observe reports how many live bytes the garbage collector has found, without
// those that the process needs for itself. If that is more than was taken,
// something holds memory without taking it. The difference counts as taken.
func (b *Budget) Observe(live int64) {
	if !b.unbounded() {
		b.observed.Store(time.Now().UnixNano())
		b.unknown.Store(max(0, live-b.used.Load()))
	}
}

// Used returns how many bytes are taken, including those that were only
// observed.
func (b *Budget) Used() int64 {
	if b == nil {
		return 0
	}
	return b.used.Load() + b.unknown.Load()
}

// Limit returns the size of the budget; 0 is no bound.
func (b *Budget) Limit() int64 {
	if b == nil {
		return 0
	}
	return b.limit
}
