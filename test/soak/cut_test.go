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

// visitors is the number of concurrent clients.
const visitors = 48

// TestCuts_RequestsOfAllKindsLeaveNothingBehind sends requests of every kind
// over HTTP/1 and HTTP/2 to backends of both, while clients disconnect and
// backends break off at random places. An answer that looks complete has to be
// the right one. When all requests have ended, nothing of them is left.
func TestCuts_RequestsOfAllKindsLeaveNothingBehind(t *testing.T) {
	env := []string{"LB_SESSION_AFFINITY=cookie", "LB_AFFINITY_SECRET=a-secret-of-the-test", "LB_EJECT_TIME=20ms",
		breaking(t)}
	program, control := start(t, env...), start(t, env...)
	few := max(2000, min(*requests/10, 20_000))
	for _, s := range []*subject{program, control} {
		s.burst(128)
		send(t, s, few)
		s.settle()
	}

	before := program.settle()
	t.Logf("before: %v", before)
	seen := newOutcomes()
	for part := range 4 { // the log then shows what grows
		seen.add(send(t, program, *requests/4))
		t.Logf("after %d requests: %v", (part+1)*(*requests/4), program.settle())
	}

	after := program.wantLevel(before)
	t.Logf("after:  %v", after)
	seen.judge(t)
	program.wantGoroutines(control)
}

// breaking starts unreliable backends of both protocols and returns
// LB_BACKENDS.
func breaking(t *testing.T) string {
	t.Helper()
	var targets []string
	for _, name := range []string{"a", "b", "c"} {
		targets = append(targets, backend.StartRaw(t, name, breakHTTP1).Target())
	}

	return "LB_BACKENDS=" + strings.Join(append(targets, startHTTP2(t)), ";")
}

// send lets the visitors send n requests and returns their outcomes.
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

// The outcomes of a request.
const (
	whole  = "whole"  // the right answer
	failed = "failed" // 502, 503 or 504
	cut    = "cut"    // the client noticed that the answer was incomplete
	left   = "left"   // the client disconnected
)

// outcomes counts requests by kind and outcome. It is safe for concurrent use.
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

// refuse fails the test, and describes the first few wrong answers.
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

// judge fails the test unless requests of each kind were answered and were cut.
// Otherwise the run would prove nothing.
func (o *outcomes) judge(t *testing.T) {
	t.Helper()
	total, answered := 0, 0
	for _, kind := range slices.Sorted(maps.Keys(o.counts)) {
		counts := o.counts[kind]
		n := counts[whole] + counts[failed] + counts[cut] + counts[left]
		t.Logf("%-22s %7d: %7d whole, %6d failed, %6d cut, %6d left", kind, n, counts[whole], counts[failed], counts[cut],
			counts[left])
		if counts[whole] == 0 || counts[left] == 0 || counts[failed]+counts[cut] == 0 {
			t.Errorf("%s: want some whole, some left, and some failed or cut", kind)
		}

		total, answered = total+n, answered+counts[whole]
	}

	t.Logf("%d requests, %d answered whole", total, answered)
	if answered < total/2 {
		t.Errorf("%d of %d requests were answered, want half of them at least", answered, total)
	}
}
