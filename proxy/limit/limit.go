package limit

import (
	"hash/maphash"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/config"
)

// Limit is one item of LB_RATE_LIMIT. Routes that inherit the item share it.
type Limit struct {
	item  *config.RateLimit
	name  string
	rate  rate
	dry   bool
	seed  maphash.Seed
	table *table
	store *Store // nil if this instance counts for itself
	id    []byte // the beginning of the store's keys of this limit, before they are hashed

	allowed, refused, wouldRefuse atomic.Int64
}

// New makes a limit whose table has room for so many keys, a power of two.
// scope is the route that the item was written for, "" for the unnamed one.
// store may be nil.
func New(scope string, c *config.RateLimit, places int, store *Store) *Limit {
	return &Limit{
		item:  c,
		name:  c.TitleIn(scope),
		rate:  newRate(c),
		dry:   c.Dry,
		seed:  maphash.MakeSeed(),
		table: newTable(places),
		store: store,
		id:    storeID(scope, c),
	}
}

// Name returns the name of the limit in spans, metrics and the log.
func (l *Limit) Name() string { return l.name }

// Wait bounds how long all limits of one request together may wait for the
// store. The zero value is for a request that has not waited yet.
type Wait struct{ until time.Time }

// deadline returns until when the request may wait.
func (w *Wait) deadline(now time.Time, budget time.Duration) time.Time {
	if w.until.IsZero() {
		w.until = now.Add(budget)
	}

	return w.until
}

// Take charges a request to a key. It returns how long the request is too
// early; 0 lets it pass. A dry limit lets every request pass.
func (l *Limit) Take(k Key, now time.Time, w *Wait) (early time.Duration) {
	hash, at := k.hash(l.seed), now.UnixNano()
	if l.store == nil {
		early = time.Duration(l.table.take(l.rate, hash, at))
	} else {
		early = l.ask(&k, hash, now, w)
	}

	switch {
	case early == 0:
		l.allowed.Add(1)
	case l.dry:
		l.wouldRefuse.Add(1)
		return 0
	default:
		l.refused.Add(1)
	}

	return early
}

// ask asks the store, or the table if the store does not answer. A refusal of
// the store is remembered until it ends, so that a flood of requests does not
// reach the store.
func (l *Limit) ask(k *Key, hash uint64, now time.Time, w *Wait) time.Duration {
	at := now.UnixNano()
	if early := l.table.early(l.rate, hash, at); early > 0 {
		return time.Duration(early)
	}

	deadline := w.deadline(now, l.store.budget)
	early, ok := l.store.ask(l.id, k, l.rate, now, deadline)
	if !ok {
		return time.Duration(l.table.take(l.rate, hash, at))
	}
	if early > 0 {
		l.table.set(l.rate, hash, l.rate.refusedUntil(at, early), at)
	}

	return early
}

// Counts are the requests that a limit has allowed, has refused, and would have
// refused if it were not dry.
type Counts struct{ Allowed, Refused, WouldRefuse int64 }

// Counts returns the decisions of the limit so far.
func (l *Limit) Counts() Counts {
	return Counts{l.allowed.Load(), l.refused.Load(), l.wouldRefuse.Load()}
}
