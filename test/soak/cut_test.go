package soak

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/backend"
)

// visitors is how many clients there are at once.
const visitors = 48

// TestCuts_RequestsOfAllKindsLeaveNothingBehind sends requests of every kind over HTTP/1 and HTTP/2 to backends of both,
// while clients leave and backends break at random places. An answer that looks whole has to be the right one, and when
// all is over, nothing is left of it.
func TestCuts_RequestsOfAllKindsLeaveNothingBehind(t *testing.T) {
	env := []string{"LB_SESSION_AFFINITY=cookie", "LB_AFFINITY_SECRET=a-secret-of-the-test", "LB_EJECT_TIME=20ms", breaking(t)}
	program, control := start(t, env...), start(t, env...)
	few := max(2000, min(*requests/10, 20_000))
	for _, s := range []*subject{program, control} {
		s.crowd(128)
		send(t, s, few)
		s.settle()
	}
	before := program.settle()
	t.Logf("before: %v", before)
	seen := newOutcomes()
	for part := range 4 { // so that what grows is seen to grow
		seen.add(send(t, program, *requests/4))
		t.Logf("after %d requests: %v", (part+1)*(*requests/4), program.settle())
	}
	after := program.wantLevel(before)
	t.Logf("after:  %v", after)
	seen.judge(t)
	program.wantGoroutines(control)
}

// breaking is LB_BACKENDS with unreliable backends of both protocols.
func breaking(t *testing.T) string {
	t.Helper()
	var targets []string
	for _, name := range []string{"a", "b", "c"} {
		targets = append(targets, backend.StartRaw(t, name, breakHTTP1).Target())
	}
	return "LB_BACKENDS=" + strings.Join(append(targets, startHTTP2(t)), ";")
}

// send lets visitors make so many requests and returns what became of them.
func send(t *testing.T, s *subject, n int) *outcomes {
	t.Helper()
	var left atomic.Int64
	left.Store(int64(n))
	all := newOutcomes()
	var visiting sync.WaitGroup
	for i := range visitors {
		v := &visitor{t: t, address: s.Address, seen: all, random: rand.New(rand.NewPCG(rand.Uint64(), uint64(i)))}
		visiting.Go(func() {
			defer v.close()
			for left.Load() > 0 {
				left.Add(-int64(v.visit()))
			}
		})
	}
	visiting.Wait()
	return all
}

// What can become of a request.
const (
	whole  = "whole"  // the right answer
	failed = "failed" // 502, 503 or 504
	cut    = "cut"    // the client saw that there was no whole answer
	left   = "left"   // the client went away
)

// outcomes counts what became of requests, by kind. Safe for concurrent use.
type outcomes struct {
	mu     sync.Mutex
	counts map[string]map[string]int
	wrong  int
}

func newOutcomes() *outcomes { return &outcomes{counts: map[string]map[string]int{}} }

func (o *outcomes) count(kind, outcome string, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.counts[kind] == nil {
		o.counts[kind] = map[string]int{}
	}
	o.counts[kind][outcome] += n
}

func (o *outcomes) add(more *outcomes) {
	for kind, counts := range more.counts {
		for outcome, n := range counts {
			o.count(kind, outcome, n)
		}
	}
}

// refuse fails the test, with the first few wrong answers in words.
func (o *outcomes) refuse(t *testing.T, format string, args ...any) {
	o.mu.Lock()
	o.wrong++
	few := o.wrong <= 5
	o.mu.Unlock()
	if few {
		t.Errorf(format, args...)
	} else {
		t.Fail()
	}
}

// judge wants each kind to have been answered and to have been cut: else this proves nothing.
func (o *outcomes) judge(t *testing.T) {
	t.Helper()
	total, answered := 0, 0
	for _, kind := range slices.Sorted(maps.Keys(o.counts)) {
		counts := o.counts[kind]
		n := counts[whole] + counts[failed] + counts[cut] + counts[left]
		t.Logf("%-22s %7d: %7d whole, %6d failed, %6d cut, %6d left", kind, n, counts[whole], counts[failed], counts[cut], counts[left])
		if counts[whole] == 0 || counts[left] == 0 || counts[failed]+counts[cut] == 0 {
			t.Errorf("%s were not tried in every way", kind)
		}
		total, answered = total+n, answered+counts[whole]
	}
	t.Logf("%d requests, %d answered whole", total, answered)
	if answered < total/2 {
		t.Errorf("only %d of %d requests were answered", answered, total)
	}
}
