package backend

import (
	"math"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/pillion-lb/pillion/config"
)

// pickerOf makes a picker over endpoints a, b, c, … of these weights.
func pickerOf(policy config.Policy, weights ...int) (*picker, []*Endpoint) {
	var entries []entry
	var eps []*Endpoint
	for i, w := range weights {
		ep := &Endpoint{Name: string(rune('a' + i))}
		eps = append(eps, ep)
		entries = append(entries, entry{ep: ep, weight: w, usable: true})
	}

	p := newPicker(entries, policy, new(atomic.Uint64))
	return &p, eps
}

// draws counts how often each endpoint is chosen, and how often each follows
// each.
func draws(p *picker, eps []*Endpoint, n int, tried ...*Endpoint) (single []int, pairs []int) {
	single, pairs = make([]int, len(eps)), make([]int, len(eps)*len(eps))
	before := -1
	for range n {
		i := slices.Index(eps, p.choose(tried).ep)
		single[i]++
		if before >= 0 {
			pairs[before*len(eps)+i]++
		}
		before = i
	}

	return single, pairs
}

// fits is a chi-square test that a true hypothesis fails once in a million
// times.
func fits(t *testing.T, counts []int, shares []float64) bool {
	t.Helper()
	total, chi, freedom := 0, 0.0, -1.0
	for _, n := range counts {
		total += n
	}

	sum := 0.0
	for _, s := range shares {
		sum += s
	}

	for i, n := range counts {
		if shares[i] == 0 {
			if n > 0 {
				return false
			}
			continue
		}

		want := float64(total) * shares[i] / sum
		chi += (float64(n) - want) * (float64(n) - want) / want
		freedom++
	}

	if freedom < 1 {
		return true
	}

	// Wilson and Hilferty
	limit := freedom * math.Pow(1-2/(9*freedom)+4.7534*math.Sqrt(2/(9*freedom)), 3)
	return chi <= limit
}

func equalShares(n int) []float64 { return slices.Repeat([]float64{1}, n) }

func TestPolicy_RandomIsUniformAndIndependent(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 3, 7} {
		p, eps := pickerOf(config.Random, slices.Repeat([]int{1}, n)...)
		single, pairs := draws(p, eps, 30000)
		if !fits(t, single, equalShares(n)) || !fits(t, pairs, equalShares(n*n)) {
			t.Errorf("%d endpoints: %v %v", n, single, pairs)
		}
	}
}

func TestPolicy_RandomGoesByWeight(t *testing.T) {
	t.Parallel()
	p, eps := pickerOf(config.Random, 3, 1)
	single, pairs := draws(p, eps, 30000)
	if !fits(t, single, []float64{3, 1}) || !fits(t, pairs, []float64{9, 3, 3, 1}) {
		t.Error(single, pairs)
	}
}

func TestPolicy_TriedAreSkippedAndOthersKeepTheirShares(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		weights []int
		tried   []int
	}{
		{[]int{1, 1, 1}, []int{0}},
		{[]int{1, 1, 1}, []int{0, 2}},
		{[]int{1, 1, 1, 1, 1, 1, 1}, []int{0, 1, 2, 3}},
		{[]int{100, 3, 1}, []int{0}},
		{[]int{3, 1, 2}, []int{2}},
		{[]int{1000, 1000, 5, 1, 1}, []int{0, 1}},
	} {
		for _, policy := range []config.Policy{config.Random, config.RoundRobin} {
			p, eps := pickerOf(policy, c.weights...)
			var tried []*Endpoint
			shares := make([]float64, len(eps))
			for i, w := range c.weights {
				shares[i] = float64(w)
			}

			for _, i := range c.tried {
				tried, shares[i] = append(tried, eps[i]), 0
			}

			single, _ := draws(p, eps, 30000, tried...)
			if policy == config.Random && !fits(t, single, shares) {
				t.Errorf("%v without %v: %v", c.weights, c.tried, single)
			}

			for _, i := range c.tried {
				if single[i] > 0 {
					t.Errorf("%s: %v was tried and is chosen", policy, i)
				}
			}
		}
	}
}

func TestPolicy_NoneIsLeft(t *testing.T) {
	t.Parallel()
	p, eps := pickerOf(config.Random, 1, 3)
	if p.choose(eps) != nil {
		t.Error("one that was tried is chosen")
	}

	empty, _ := pickerOf(config.RoundRobin)
	if empty.choose(nil) != nil {
		t.Error("chosen from nothing")
	}
}

func TestPolicy_RoundRobinTakesTurns(t *testing.T) {
	t.Parallel()
	p, eps := pickerOf(config.RoundRobin, 1, 1, 1)
	single, pairs := draws(p, eps, 30000)
	if !slices.Equal(single, []int{10000, 10000, 10000}) || fits(t, pairs, equalShares(9)) {
		t.Error(single, pairs)
	}
}

func TestPolicy_RoundRobinSpreadsWeightsEvenly(t *testing.T) {
	t.Parallel()
	for _, weights := range [][]int{{5, 1, 1}, {3, 1}, {30, 10}, {1, 2, 3, 4}, {20000, 10000, 10000}, {20011, 10007, 9973},
		{65521, 3, 2}} {
		p, eps := pickerOf(config.RoundRobin, weights...)
		total := 0
		for _, w := range weights {
			total += w
		}

		seen := make([]int, len(eps))
		for n := 1; n <= min(2*total, 50000); n++ {
			seen[slices.Index(eps, p.choose(nil).ep)]++
			for i, w := range weights {
				if off := float64(seen[i]) - float64(n)*float64(w)/float64(total); math.Abs(off) > 4 {
					t.Fatalf("%v: after %d turns %v", weights, n, seen)
				}
			}
		}
	}
}

func TestPolicy_Random2PrefersTheLessLoaded(t *testing.T) {
	t.Parallel()
	for _, weight := range []int{1, 65535} { // the largest of an SRV record
		p, eps := pickerOf(config.Random2, weight, weight, weight)
		eps[0].inFlight.Store(10)
		single, _ := draws(p, eps, 30000)
		if !fits(t, single, []float64{1, 4, 4}) { // it wins only when it is drawn twice
			t.Errorf("weight %d: %v", weight, single)
		}
	}

	even, eps := pickerOf(config.Random2, 1, 1, 1)
	single, _ := draws(even, eps, 30000)
	if !fits(t, single, equalShares(3)) {
		t.Error(single)
	}
}

func TestPolicy_TwoProcessesDrawDifferently(t *testing.T) {
	t.Parallel()

	// Both draw from the runtime's own generator, which nothing seeds: two runs
	// of 64 draws agree once in 2^64.
	p, eps := pickerOf(config.Random, 1, 1)
	var runs [2][]int
	for i := range runs {
		for range 64 {
			runs[i] = append(runs[i], slices.Index(eps, p.choose(nil).ep))
		}
	}

	if slices.Equal(runs[0], runs[1]) {
		t.Error(runs)
	}
}

func TestPolicy_AllocatesNothing(t *testing.T) {
	for _, policy := range []config.Policy{config.Random, config.Random2, config.RoundRobin} {
		p, eps := pickerOf(policy, 3, 1, 1)
		if n := testing.AllocsPerRun(1000, func() { p.choose(eps[:2]) }); n != 0 {
			t.Errorf("%s: %v", policy, n)
		}
	}
}

func BenchmarkChoose(b *testing.B) {
	for name, weights := range map[string][]int{"equal": {1, 1, 1}, "weighted": {3, 1, 1}} {
		b.Run(name, func(b *testing.B) {
			p, _ := pickerOf(config.Random, weights...)
			b.ReportAllocs()
			for b.Loop() {
				p.choose(nil)
			}
		})
	}
}
