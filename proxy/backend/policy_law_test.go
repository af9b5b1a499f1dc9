package backend

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/pillion-lb/pillion/config"
)

// law returns how a policy breaks the law that every policy obeys, or nil. The
// policy is made for each set of candidates.
func law(t *testing.T, make func(candidates) policy) error {
	t.Helper()

	return errors.Join(
		lawOfTheTried(make),
		lawOfTheTrial(make),
		lawOfTheShares(make),
		lawOfTheHeap(make),
	)
}

// lawSets are weights and loads of candidates, among them loads that make one
// endpoint the policy's favourite.
var lawSets = []struct{ weights, loads []int }{
	{[]int{1, 1, 1}, []int{0, 0, 0}},
	{[]int{1, 1, 1}, []int{0, 50, 1}},
	{[]int{1, 1}, []int{0, 1000}},
	{[]int{1000, 1, 1}, []int{0, 9, 9}},
	{[]int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, []int{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7}},
	{[]int{65535, 3, 2}, []int{0, 0, 0}},
}

func lawCandidates(weights, loads []int) (candidates, []*Endpoint) {
	var entries []entry
	var eps []*Endpoint
	for i, w := range weights {
		ep := &Endpoint{Name: fmt.Sprint("backend-", i)}
		ep.inFlight.Store(int64(loads[i]))
		eps = append(eps, ep)
		entries = append(entries, entry{ep: ep, weight: w, usable: true})
	}

	return newCandidates(entries), eps
}

// lawOfTheTried: an endpoint that was tried is never picked, an open one is
// found as long as there is one, and the policy is the same for a retry as for
// a first attempt.
func lawOfTheTried(make func(candidates) policy) error {
	for _, set := range lawSets {
		c, eps := lawCandidates(set.weights, set.loads)
		p := make(c)
		for first := range eps {
			tried := []*Endpoint{eps[first]}
			for len(tried) < len(eps) {
				for range 200 {
					e := p.pick(tried)
					if e == nil {
						return fmt.Errorf("%v: nothing is picked, and %d are open", set, len(eps)-len(tried))
					}
					if slices.Contains(tried, e.ep) {
						return fmt.Errorf("%v: %s is picked again", set, e.ep.Name)
					}
				}

				tried = append(tried, p.pick(tried).ep)
			}

			if e := p.pick(tried); e != nil {
				return fmt.Errorf("%v: %s is picked when all were tried", set, e.ep.Name)
			}
		}
	}

	return nil
}

// lawOfTheTrial: an endpoint whose trial another request has is never picked.
func lawOfTheTrial(make func(candidates) policy) error {
	c, eps := lawCandidates([]int{1, 1, 1}, []int{0, 5, 5})
	c.entries[0].trial = true
	eps[0].health.trial.Store(true)

	p := make(c)
	for range 1000 {
		if e := p.pick(nil); e == nil || e.ep == eps[0] {
			return errors.New("a trial that is taken is picked, or nothing is")
		}
		if e := p.pick(eps[1:]); e != nil {
			return errors.New("a trial that is taken is picked when nothing else is left")
		}
	}

	return nil
}

// lawOfTheShares: idle endpoints get requests by their weights, also when one
// of them was tried.
func lawOfTheShares(make func(candidates) policy) error {
	const n = 20000
	for _, weights := range [][]int{{1, 1, 1}, {3, 1}, {5, 2, 1}} {
		c, eps := lawCandidates(weights, []int{0, 0, 0}[:len(weights)])
		p := make(c)
		for _, tried := range [][]*Endpoint{nil, eps[:1]} {
			sum, counts := 0, map[*Endpoint]int{}
			for i, w := range weights {
				if i >= len(tried) {
					sum += w
				}
			}

			for range n {
				counts[p.pick(tried).ep]++
			}

			for i := len(tried); i < len(eps); i++ {
				want := n * float64(weights[i]) / float64(sum)
				if off := math.Abs(float64(counts[eps[i]]) - want); off > 6*math.Sqrt(want) {
					return fmt.Errorf("%v after %d tried: %d of %d go to %s, not %.0f", weights, len(tried), counts[eps[i]], n,
						eps[i].Name, want)
				}
			}
		}
	}

	return nil
}

// lawOfTheHeap: a choice allocates nothing.
func lawOfTheHeap(make func(candidates) policy) error {
	c, eps := lawCandidates([]int{3, 1, 1}, []int{0, 1, 2})
	p := make(c)
	for _, tried := range [][]*Endpoint{nil, eps[:2]} {
		if n := testing.AllocsPerRun(1000, func() { p.pick(tried) }); n != 0 {
			return fmt.Errorf("%v allocations a choice", n)
		}
	}

	return nil
}

func TestPolicy_Law(t *testing.T) {
	for _, name := range config.Policies() {
		err := law(t, func(c candidates) policy { return newPolicy(name, c, new(atomic.Uint64)) })
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// forgetful is a policy that is wrong in the obvious way: it takes the least
// busy endpoint and hopes that it is another one at the next try.
type forgetful struct{ candidates }

func (p *forgetful) pick(tried []*Endpoint) *entry {
	for range quickDraws {
		best := &p.entries[0]
		for i := range p.entries {
			if p.entries[i].lessBusy(best) {
				best = &p.entries[i]
			}
		}

		if best.open(tried) {
			return best
		}
	}

	return p.randomOpen(tried)
}

// careless forgets what was tried, allocating what it does not need.
type careless struct{ candidates }

func (p *careless) pick([]*Endpoint) *entry {
	all := slices.Clone(p.entries)
	return &all[len(all)-1]
}

// uniform forgets the weights.
type uniform struct{ candidates }

func (p *uniform) pick(tried []*Endpoint) *entry {
	for i := range p.entries {
		if e := &p.entries[i]; e.open(tried) {
			return e
		}
	}

	return nil
}

func TestPolicy_WrongOnesBreakTheLaw(t *testing.T) {
	for name, wrong := range map[string]func(candidates) policy{
		"forgetful": func(c candidates) policy { return &forgetful{c} },
		"careless":  func(c candidates) policy { return &careless{c} },
		"uniform":   func(c candidates) policy { return &uniform{c} },
	} {
		if law(t, wrong) == nil {
			t.Errorf("%s passes for a policy", name)
		}
	}
}

// TestPolicy_EveryNameIsItsOwnType fails when a policy of package config has no
// line in newPolicy.
func TestPolicy_EveryNameIsItsOwnType(t *testing.T) {
	t.Parallel()

	c, _ := lawCandidates([]int{1, 1}, []int{0, 0})

	seen := map[string]config.Policy{}
	for _, name := range config.Policies() {
		typ := fmt.Sprintf("%T", newPolicy(name, c, new(atomic.Uint64)))
		if other, ok := seen[typ]; ok {
			t.Errorf("%s and %s are the same policy", name, other)
		}
		seen[typ] = name
	}
}

// A policy by load must choose by load also for a retry.
func TestLeastRequests_FewestInFlightAmongAllThatAreOpen(t *testing.T) {
	t.Parallel()

	for _, c := range []struct {
		weights, loads []int
		tried, want    []int
	}{
		{[]int{1, 1, 1}, []int{0, 50, 1}, nil, []int{0}},
		{[]int{1, 1, 1}, []int{0, 50, 1}, []int{0}, []int{2}},
		{[]int{1, 1, 1}, []int{0, 50, 1}, []int{0, 2}, []int{1}},
		{[]int{10, 1, 1}, []int{9, 1, 2}, nil, []int{0}},
		{[]int{1, 1, 1, 1}, []int{2, 1, 1, 1}, []int{3}, []int{1, 2}},
	} {
		set, eps := lawCandidates(c.weights, c.loads)
		p := newPolicy(config.LeastRequests, set, nil)
		var tried []*Endpoint
		for _, i := range c.tried {
			tried = append(tried, eps[i])
		}

		seen := map[int]bool{}
		for range 1000 {
			i := slices.Index(eps, p.pick(tried).ep)
			if seen[i] = true; !slices.Contains(c.want, i) {
				t.Fatalf("%+v: %d is chosen", c, i)
			}
		}

		if len(seen) != len(c.want) {
			t.Errorf("%+v: only %v are chosen", c, seen)
		}
	}
}
