// Package await waits for what another process does: for an event that somebody announces, or for a condition that can
// only be asked. Every wait has an end, and none of them proves anything by having slept.
package await

import (
	"sync"
	"testing"
	"time"
)

// Limit is how long a promise may take on a busy machine with the race detector on before it counts as broken.
const Limit = 30 * time.Second

// Until asks condition every few milliseconds until it holds, and fails the test when it does not within Limit.
func Until(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	if !Within(Limit, condition) {
		tb.Fatalf("waited %v in vain until %s", Limit, what)
	}
}

// Within is Until with a limit of its own that reports instead of failing.
func Within(limit time.Duration, condition func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); ; <-tick.C {
		if condition() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// Values collects what goroutines announce and lets others wait for some of it. The zero value is ready, and safe for
// concurrent use.
type Values[T any] struct {
	mu      sync.Mutex
	all     []T
	changed chan struct{}
}

// Add announces one more value.
func (v *Values[T]) Add(value T) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.all = append(v.all, value)
	if v.changed != nil {
		close(v.changed)
		v.changed = nil
	}
}

// All is a copy of what was announced so far.
func (v *Values[T]) All() []T {
	all, _ := v.look()
	return all
}

// Len is how many were announced so far.
func (v *Values[T]) Len() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.all)
}

// Wait asks pick with all values, at first and after each change, until it reports true. Wait
// reports false when limit passes or stop is closed before that; stop may be nil.
func (v *Values[T]) Wait(limit time.Duration, stop <-chan struct{}, pick func([]T) bool) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		all, changed := v.look()
		if pick(all) {
			return true
		}
		select {
		case <-changed:
		case <-stop:
			return pick(v.All())
		case <-timer.C:
			return false
		}
	}
}

// look is what there is, and a channel that is closed when there is more.
func (v *Values[T]) look() ([]T, <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.changed == nil {
		v.changed = make(chan struct{})
	}
	return append([]T(nil), v.all...), v.changed
}
