package proxy

import (
	"math/rand/v2"
	"sort"
	"sync/atomic"

	"github.com/pillion-lb/pillion/config"
)

// reason says why an attempt went where it went. It stands in spans, metrics and logs under this name.
type reason string

const (
	byCookie     reason = "cookie"
	byRandom     reason = "random"
	byRandom2    reason = "random2"
	byRoundRobin reason = "round_robin"
	byRetry      reason = "retry"
	byPanic      reason = "panic"
	byStrict     reason = "strict"
	byTrial      reason = "trial"
)

// picker chooses among the entries that new sessions may go to. It is immutable but for the round-robin counter.
type picker struct {
	entries []entry
	bounds  []uint32 // cumulative weights; nil when all weigh the same
	total   uint32
	order   []uint16 // for round robin with weights: entries in turn, spread evenly
	stride  uint64   // instead, where the round is too long to be written down: tickets in turn, spread evenly
	policy  config.Policy
	turn    *atomic.Uint64 // shared by all snapshots of the service
}

func newPicker(entries []entry, policy config.Policy, turn *atomic.Uint64) picker {
	p := picker{entries: entries, policy: policy, turn: turn}
	equal := true
	for i := range entries {
		equal = equal && entries[i].weight == entries[0].weight
		p.total += uint32(entries[i].weight)
	}
	if equal {
		return p
	}
	p.bounds = make([]uint32, len(entries))
	var sum uint32
	for i := range entries {
		sum += uint32(entries[i].weight)
		p.bounds[i] = sum
	}
	if policy == config.RoundRobin {
		p.takeTurns()
	}
	return p
}

// longestOrder bounds the rounds that are written down, and the work of it.
const longestOrder = 1 << 12

// takeTurns prepares round robin by weight.
func (p *picker) takeTurns() {
	unit := 0
	for i := range p.entries {
		unit = gcd(unit, p.entries[i].weight)
	}
	if round := int(p.total) / unit; round <= longestOrder {
		p.order = smoothOrder(p.entries, round, unit)
		return
	}
	// Steps of the golden section of the round spread evenly; with no divisor in common they visit every ticket.
	p.stride = uint64(float64(p.total) * 0.6180339887)
	for gcd(int(p.stride), int(p.total)) != 1 {
		p.stride++
	}
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// smoothOrder spreads each entry's turns evenly over one round: whoever has waited longest for its share comes next.
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

// choose draws an entry that is not in tried. Random draws are repeated until they hit an untried entry, which keeps
// the shares of the others as they are; after some misses the untried ones are counted out instead. It takes no lock
// and allocates nothing. nil means that there is none left.
func (p *picker) choose(tried []*endpoint) *entry {
	if len(p.entries) == 0 {
		return nil
	}
	for range 8 {
		e := p.draw()
		if !contains(tried, e.ep) && e.admit() {
			return e
		}
	}
	for {
		// Another request may just have taken the trial that was drawn; then it is not open any more.
		if e := p.drawAmong(tried); e == nil || e.admit() {
			return e
		}
	}
}

// drawAmong draws by weight among the untried alone, by counting them out.
func (p *picker) drawAmong(tried []*endpoint) *entry {
	var total uint32
	for i := range p.entries {
		if e := &p.entries[i]; e.open(tried) {
			total += uint32(e.weight)
		}
	}
	if total == 0 {
		return nil
	}
	var last *entry
	n := rand.Uint32N(total)
	for i := range p.entries {
		e := &p.entries[i]
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

// draw is one draw by the policy, whoever was tried before.
func (p *picker) draw() *entry {
	switch p.policy {
	case config.RoundRobin:
		return p.next()
	case config.Random2:
		a, b := p.random(), p.random()
		if b.freer(a) {
			return b
		}
		return a
	}
	return p.random()
}

// random is a uniform draw, or one by weight.
func (p *picker) random() *entry {
	if p.bounds == nil {
		return &p.entries[rand.IntN(len(p.entries))]
	}
	return p.at(rand.Uint32N(p.total))
}

// at finds the entry that owns ticket n of total.
func (p *picker) at(n uint32) *entry {
	return &p.entries[sort.Search(len(p.bounds), func(i int) bool { return p.bounds[i] > n })]
}

func (p *picker) next() *entry {
	n := p.turn.Add(1) - 1
	switch {
	case p.bounds == nil:
		return &p.entries[n%uint64(len(p.entries))]
	case p.order != nil:
		return &p.entries[p.order[n%uint64(len(p.order))]]
	}
	return p.at(uint32(n % uint64(p.total) * p.stride % uint64(p.total)))
}

// freer is what random2 asks: whether e has fewer requests in flight for its weight. No quotient is taken, which would
// make small numbers equal where weights are as large as SRV records may have them.
func (e *entry) freer(than *entry) bool {
	return e.ep.inFlight.Load()*int64(than.weight) < than.ep.inFlight.Load()*int64(e.weight)
}

// open reports whether a request that tried those endpoints may still go to the entry.
func (e *entry) open(tried []*endpoint) bool {
	return !contains(tried, e.ep) && (!e.trial || !e.ep.health.trial.Load())
}

// admit takes the one place that an endpoint has while it is on trial after an ejection.
func (e *entry) admit() bool { return !e.trial || e.ep.health.trial.CompareAndSwap(false, true) }

func contains(list []*endpoint, ep *endpoint) bool {
	for _, t := range list {
		if t == ep {
			return true
		}
	}
	return false
}
