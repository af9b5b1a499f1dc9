package backend

import "math/rand/v2"

// leastRequests takes the entry with the fewest requests in flight for its
// weight, among all that are open. Ties are decided at random, by weight.
type leastRequests struct{ candidates }

func (p *leastRequests) pick(tried []*Endpoint) *entry {
	var best *entry
	var weights uint32 // of the entries that are equal to best

	for i := range p.entries {
		e := &p.entries[i]
		if !e.open(tried) {
			continue
		}

		switch {
		case best == nil || e.lessBusy(best):
			best, weights = e, uint32(e.weight)
		case !best.lessBusy(e):
			// A tie. Each of the entries seen so far keeps its share when a
			// later one replaces it with its own share.
			if weights += uint32(e.weight); rand.Uint32N(weights) < uint32(e.weight) {
				best = e
			}
		}
	}

	return best
}
