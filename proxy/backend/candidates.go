package backend

import (
	"math/rand/v2"
	"slices"
	"sort"
)

// candidates are the entries that new sessions may go to. They never change.
// The methods are safe for concurrent use, take no lock and allocate nothing.
type candidates struct {
	entries []entry
	bounds  []uint32 // cumulative weights; nil if all weights are equal
	total   uint32   // the sum of all weights
}

func newCandidates(entries []entry) candidates {
	c := candidates{entries: entries}
	equal := true
	for i := range entries {
		equal = equal && entries[i].weight == entries[0].weight
		c.total += uint32(entries[i].weight)
	}

	if equal {
		return c
	}

	c.bounds = make([]uint32, len(entries))
	var sum uint32
	for i := range entries {
		sum += uint32(entries[i].weight)
		c.bounds[i] = sum
	}

	return c
}

// quickDraws is how often a policy draws among all candidates before it looks
// at each of them. A draw of a tried endpoint is repeated, which leaves the
// shares of the others as they are.
const quickDraws = 8

// random draws an entry by weight. There must be at least one.
func (c *candidates) random() *entry {
	if c.bounds == nil {
		return &c.entries[rand.IntN(len(c.entries))]
	}

	return c.at(rand.Uint32N(c.total))
}

// at returns the entry that owns ticket n of total. Each entry owns as many
// tickets as its weight.
func (c *candidates) at(n uint32) *entry {
	return &c.entries[sort.Search(len(c.bounds), func(i int) bool { return c.bounds[i] > n })]
}

// randomOpen returns a random entry, by weight, of those that may get a
// request. It returns nil if there is none.
func (c *candidates) randomOpen(tried []*Endpoint) *entry {
	var total uint32
	for i := range c.entries {
		if e := &c.entries[i]; e.open(tried) {
			total += uint32(e.weight)
		}
	}

	if total == 0 {
		return nil
	}

	// A trial may be taken between the two passes. The last open entry then
	// takes the tickets that are left.
	var last *entry
	n := rand.Uint32N(total)
	for i := range c.entries {
		e := &c.entries[i]
		if !e.open(tried) {
			continue
		}
		if last = e; n < uint32(e.weight) {
			break
		}

		n -= uint32(e.weight)
	}

	return last
}

// lessBusy reports whether e has fewer requests in flight for its weight than
// another entry. It compares products, because quotients of small numbers and
// large weights would be equal.
func (e *entry) lessBusy(than *entry) bool {
	return e.ep.inFlight.Load()*int64(than.weight) < than.ep.inFlight.Load()*int64(e.weight)
}

// open reports whether a request that has tried some endpoints may still go to
// the entry.
func (e *entry) open(tried []*Endpoint) bool {
	return !slices.Contains(tried, e.ep) && (!e.trial || !e.ep.health.trial.Load())
}

// admit takes the one place of an endpoint that is on trial after an ejection.
func (e *entry) admit() bool { return !e.trial || e.ep.health.trial.CompareAndSwap(false, true) }
