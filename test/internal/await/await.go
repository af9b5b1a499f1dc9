// Package await waits for other processes: for events that are announced, and
// for conditions that have to be polled. Every wait has a limit, and no test
// relies on the length of a sleep.
package await

import (
	"sync"
	"testing"
	"time"
)

// Limit is how long anything may take on a busy machine with the race detector
// before a test fails.
const Limit = 30 * time.Second

// Until polls condition every few milliseconds until it holds. It fails the
// test if that takes longer than Limit.
func Until(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	if !Within(Limit, condition) {
		tb.Fatalf("not within %v: %s", Limit, what)
	}
}

// Within is Until with another limit. It reports whether the condition held in
// time, and does not fail the test.
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

// Values collects values and lets other goroutines wait for them. The zero
// value is ready for use. Values is safe for concurrent use.
type Values[T any] struct {
	mu      sync.Mutex
	all     []T
	changed chan struct{}
}

// Add adds a value.
func (v *Values[T]) Add(value T) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.all = append(v.all, value)
	if v.changed != nil {
		close(v.changed)
		v.changed = nil
	}
}

// All returns a copy of the values so far.
func (v *Values[T]) All() []T {
	all, _ := v.look()
	return all
}

// Len returns the number of values so far.
func (v *Values[T]) Len() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.all)
}

// Wait calls pick with all values, now and after each change, until it returns
// true. It returns false if limit passes or stop is closed before that. stop
// may be nil.
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

// look returns the values so far, and a channel that is closed when there are
// more.
func (v *Values[T]) look() ([]T, <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.changed == nil {
		v.changed = make(chan struct{})
	}

	return append([]T(nil), v.all...), v.changed
}
