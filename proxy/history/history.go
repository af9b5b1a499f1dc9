// Package history remembers what happened in the last ten minutes, for the
// status page: how many requests, how many of them failed, how long they took.
//
// A Recorder has a slot for each ten seconds. Requests write it with atomics
// only: there is no lock, no timer and no allocation, and a slot is cleared by
// the first request that needs it for another time. Two requests that meet
// while a slot is cleared may lose a count, which is acceptable.
package history

import (
	"sync/atomic"
	"time"
)

const (
	// Slot is the time that one slot covers.
	Slot = 10 * time.Second
	// Slots is the number of slots, the current one included.
	Slots = 60
	// recent is the number of slots, the current one included, that Recent
	// looks at.
	recent = 7
)

// Recorder counts over the last ten minutes. Its memory is fixed. A nil
// Recorder records nothing. Safe for concurrent use.
type Recorder struct {
	counts    [Slots]counts
	latencies []latencies // a ring of its own, which may be shorter
}

// counts holds the counters of a slot.
type counts struct {
	slot     atomic.Int64 // the number of the slot since 1970
	requests atomic.Uint32
	failures atomic.Uint32
	peak     atomic.Int32 // the most requests in flight
}

// latencies is a histogram of a slot.
type latencies struct {
	slot    atomic.Int64
	buckets [buckets]atomic.Uint32
}

// New makes a recorder. With plots it remembers how long requests took for all
// ten minutes, else for the last one.
func New(plots bool) *Recorder {
	if plots {
		return &Recorder{latencies: make([]latencies, Slots)}
	}

	return &Recorder{latencies: make([]latencies, recent)}
}

// Add counts a request that ended at now. took is how long it took, negative if
// it got no answer.
func (r *Recorder) Add(now time.Time, took time.Duration, failed bool) {
	if r == nil {
		return
	}

	c := r.at(now)
	c.requests.Add(1)
	if failed {
		c.failures.Add(1)
	}

	if took < 0 {
		return
	}

	l := &r.latencies[number(now)%int64(len(r.latencies))]
	if old := l.slot.Load(); old < number(now) && l.slot.CompareAndSwap(old, number(now)) {
		for i := range l.buckets {
			l.buckets[i].Store(0)
		}
	}
	l.buckets[bucket(took)].Add(1)
}

// Fail counts a failure of a request that was added as one that did not fail.
func (r *Recorder) Fail(now time.Time) {
	if r != nil {
		r.at(now).failures.Add(1)
	}
}

// InFlight notes how many requests are in flight.
func (r *Recorder) InFlight(now time.Time, n int64) {
	if r == nil {
		return
	}

	peak := &r.at(now).peak
	for old := peak.Load(); int64(old) < n; old = peak.Load() {
		if peak.CompareAndSwap(old, int32(min(n, 1<<30))) {
			return
		}
	}
}

// at returns the slot of a time, cleared if it was last used for another.
func (r *Recorder) at(now time.Time) *counts {
	c := &r.counts[number(now)%Slots]
	if old := c.slot.Load(); old < number(now) && c.slot.CompareAndSwap(old, number(now)) {
		c.requests.Store(0)
		c.failures.Store(0)
		c.peak.Store(0)
	}

	return c
}

// number numbers the slots since 1970.
func number(t time.Time) int64 { return t.Unix() / int64(Slot/time.Second) }
