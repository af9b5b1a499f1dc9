package backend

import "sync/atomic"

// roundRobin lets the entries take turns, by weight. The turns of an entry are
// spread evenly over a round.
type roundRobin struct {
	candidates
	turn *atomic.Uint64 // shared by all snapshots of the service
	// Entries in the order of their turns. nil if all weights are equal, and if
	// the round is too long.
	order  []uint16
	stride uint64 // tickets between two turns, if the round is too long for order
}

// longestOrder bounds the length of order, and the work of making it.
const longestOrder = 1 << 12

func newRoundRobin(c candidates, turn *atomic.Uint64) *roundRobin {
	p := &roundRobin{candidates: c, turn: turn}
	if c.bounds == nil {
		return p
	}

	unit := 0
	for i := range c.entries {
		unit = gcd(unit, c.entries[i].weight)
	}

	if round := int(c.total) / unit; round <= longestOrder {
		p.order = smoothOrder(c.entries, round, unit)
		return p
	}

	// Steps of about 0.618 of the round, the golden ratio, spread the turns
	// evenly. A step without a common divisor with the round reaches every
	// ticket.
	p.stride = uint64(float64(c.total) * 0.6180339887)
	for gcd(int(p.stride), int(c.total)) != 1 {
		p.stride++
	}

	return p
}

func (p *roundRobin) pick(tried []*Endpoint) *entry {
	for range quickDraws {
		if e := p.next(); e.open(tried) {
			return e
		}
	}

	return p.randomOpen(tried)
}

// next returns the entry whose turn it is.
func (p *roundRobin) next() *entry {
	n := p.turn.Add(1) - 1
	switch {
	case p.bounds == nil:
		return &p.entries[n%uint64(len(p.entries))]
	case p.order != nil:
		return &p.entries[p.order[n%uint64(len(p.order))]]
	}

	return p.at(uint32(n % uint64(p.total) * p.stride % uint64(p.total)))
}

// smoothOrder spreads the turns of each entry evenly over one round. The entry
// that has waited longest for its share is next.
func smoothOrder(entries []entry, total, unit int) []uint16 {
	order := make([]uint16, 0, total)
	credit := make([]int, len(entries))

	for range total {
		best := 0
		for i := range entries {
			credit[i] += entries[i].weight / unit
			if credit[i] > credit[best] {
				best = i
			}
		}

		credit[best] -= total
		order = append(order, uint16(best))
	}

	return order
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}

	return a
}
