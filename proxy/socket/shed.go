package socket

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// Shed is a way of shedding load.
type Shed uint8

// The ways of shedding load.
const (
	RefusedConnection Shed = iota // closed when it was accepted
	RefusedRequest                // answered 503, or its stream refused
	RefusedTunnel                 // an upgrade that was answered 503
	// an idle HTTP/1 connection, or an HTTP/2 connection by GOAWAY
	ClosedIdle
	CutStalled // a connection whose client had kept it waiting
	shedKinds
)

// String returns the value of the metric's attribute.
func (s Shed) String() string {
	return [...]string{
		"refused_connection", "refused_request", "refused_tunnel", "closed_idle", "cut_stalled",
	}[s]
}

// ShedCounts is how often load was shed in each way.
type ShedCounts [shedKinds]int64

// All yields the ways and their numbers.
func (c ShedCounts) All(yield func(Shed, int64) bool) {
	for s, n := range c {
		if !yield(Shed(s), n) {
			return
		}
	}
}

// Total returns the sum of all ways.
func (c ShedCounts) Total() (n int64) {
	for _, m := range c {
		n += m
	}
	return n
}

// sheds counts what was shed, and reports it once a second at most.
type sheds struct {
	say     func(since ShedCounts)
	counts  [shedKinds]atomic.Int64
	pending [shedKinds]atomic.Int64 // not said yet
	said    atomic.Int64            // when say was called last, in Unix nanoseconds
}

// sayPause is the least time between two reports.
const sayPause = time.Second

// OnShed registers a function that is told what was shed since its last call,
// once a second at most. The goroutine that sheds calls it. OnShed must be
// called before the first Take.
func (b *Budget) OnShed(say func(since ShedCounts)) { b.sheds.say = say }

// LogSheds logs what was shed, once a second at most.
func (b *Budget) LogSheds(log *slog.Logger) {
	b.OnShed(func(since ShedCounts) {
		line := []any{"memory_taken", b.Used(), "memory_budget", b.Limit()}
		for way, n := range since.All {
			if n > 0 {
				line = append(line, way.String(), n)
			}
		}

		log.Warn("load was shed: memory, connections or descriptors are short", line...)
	})
}

// Count notes that load was shed n times in one way.
func (b *Budget) Count(s Shed, n int) {
	if b == nil || n == 0 {
		return
	}
	b.sheds.counts[s].Add(int64(n))
	b.sheds.pending[s].Add(int64(n))
	b.sheds.tell(time.Now())
}

// Shed returns how often load was shed in each way so far.
func (b *Budget) Shed() (c ShedCounts) {
	if b == nil {
		return c
	}
	for s := range c {
		c[s] = b.sheds.counts[s].Load()
	}

	return c
}

// tell calls say unless it was called within the last second.
func (l *sheds) tell(now time.Time) {
	said := l.said.Load()
	recent := now.UnixNano()-said < int64(sayPause)
	if l.say == nil || recent || !l.said.CompareAndSwap(said, now.UnixNano()) {
		return
	}

	var since ShedCounts
	for s := range since {
		since[s] = l.pending[s].Swap(0)
	}

	l.say(since)
}
