package cache

import (
	"crypto/rand"
	"sync/atomic"
)

// Cache is the store of one process. Safe for concurrent use.
type Cache struct {
	store      *store
	mostObject int64
	instance   string
	lastKey    atomic.Pointer[string] // the key of the last request
	dates      dates
}

// New makes an empty cache. The stored answers take at most size bytes
// together, and the body of one answer at most object bytes.
func New(size, object int64) *Cache {
	return &Cache{store: newStore(size), mostObject: min(object, size/8), instance: rand.Text()}
}

// Instance returns a name that no other process's cache has.
func (c *Cache) Instance() string { return c.instance }

// counts are the events since the start.
type counts struct {
	evictions atomic.Int64
	results   Counts
	refused   [refusals]atomic.Int64
}

// refusal is why an answer is not stored although its fields allow it.
type refusal uint8

const (
	tooLarge refusal = iota // it is larger than one answer may be
	noRoom                  // answers that are being sent use all of the memory
	refusals
)

// String returns the reason as metrics and the status page show it.
func (r refusal) String() string { return [...]string{"too_large", "no_room"}[r] }

// results lists all results, the most frequent first.
var results = [...]Result{Hit, Miss, Bypass, Collapsed, Revalidated, Stale}

func (c *Cache) refuse(why refusal) { c.store.counts.refused[why].Add(1) }

// Stats is the state of a cache and its counters.
type Stats struct {
	Bytes     int64            `json:"bytes"`
	Most      int64            `json:"limit"`
	Objects   int64            `json:"objects"`
	Evictions int64            `json:"evictions"`
	Refused   map[string]int64 `json:"refused,omitempty"`  // by reason, without zeros
	Requests  map[Result]int64 `json:"requests,omitempty"` // by result
}

// Stats returns the state of the cache. It counts the shards one after the
// other, so objects and bytes may be of slightly different moments.
func (c *Cache) Stats() Stats {
	s := Stats{
		Bytes:     c.store.used.Load(),
		Most:      c.store.most,
		Objects:   c.store.objects(),
		Evictions: c.store.counts.evictions.Load(),
	}
	for why := range refusals {
		if n := c.store.counts.refused[why].Load(); n > 0 {
			if s.Refused == nil {
				s.Refused = make(map[string]int64)
			}
			s.Refused[why.String()] = n
		}
	}
	s.Requests = make(map[Result]int64, len(results))
	c.store.counts.results.Each(func(r Result, n int64) { s.Requests[r] = n })
	return s
}

// FromMemory returns the share of requests that were answered from memory,
// without those that bypassed the cache. It reports false if there were none.
func (s *Stats) FromMemory() (share float64, known bool) {
	memory, all := int64(0), int64(0)
	for result, n := range s.Requests {
		switch result {
		case Bypass:
			continue
		case Hit, Stale, Collapsed:
			memory += n
		}
		all += n
	}
	if all == 0 {
		return 0, false
	}
	return float64(memory) / float64(all), true
}

// Count counts a request by its result.
func (c *Cache) Count(r Result) { c.store.counts.results.Add(r) }

// Counts counts requests by result. The zero value is ready for use. Safe for
// concurrent use.
type Counts [len(results)]atomic.Int64

// Add counts a request.
func (c *Counts) Add(r Result) {
	for i, known := range results {
		if r == known {
			c[i].Add(1)
		}
	}
}

// Each calls f with every result.
func (c *Counts) Each(f func(Result, int64)) {
	for i, r := range results {
		f(r, c[i].Load())
	}
}

// Bytes returns how much of LB_CACHE_SIZE is used.
func (c *Cache) Bytes() int64 { return c.store.used.Load() }

// Objects returns the number of stored answers.
func (c *Cache) Objects() int64 { return c.store.objects() }

// Purge removes the answers for a URL (scheme, host, path and query) on all
// routes. It returns how many it removed.
func (c *Cache) Purge(url string) int { return c.store.dropURL(normalURL(url)) }

// PurgePrefix removes the answers for all URLs with a prefix. It returns how
// many it removed.
func (c *Cache) PurgePrefix(prefix string) int {
	return c.store.dropPrefix(string(normalURL(prefix)))
}

// PurgeAll removes all answers. It returns how many it removed.
func (c *Cache) PurgeAll() int { return c.store.dropPrefix("") }
