//go:build linux && (amd64 || arm64)

package socket

import (
	"net"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// sleeper counts how often it was awakened.
type sleeper struct {
	Idle
	times atomic.Int32
	awake chan struct{}
}

func (s *sleeper) Awake() {
	s.times.Add(1)
	s.awake <- struct{}{}
}

func newSleeper() *sleeper {
	s := &sleeper{awake: make(chan struct{}, 8)}
	s.Sleeper = s
	return s
}

// asleep returns a connection in a set, and its far end.
func asleep(t *testing.T, set *IdleSet, limit time.Time) (*sleeper, *Conn, net.Conn) {
	t.Helper()
	near, far := accepted(t)
	near.Poll()
	s := newSleeper()
	if !set.Sleep(&s.Idle, near.raw(), limit) {
		t.Fatal("the set refused the connection")
	}

	return s, near, far
}

func (s *sleeper) wantAwake(t *testing.T) {
	t.Helper()
	select {
	case <-s.awake:
	case <-time.After(10 * time.Second):
		t.Fatal("the connection was not awakened")
	}
}

func TestIdleSet_WakesForWhatHappens(t *testing.T) {
	t.Parallel()
	for name, happens := range map[string]func(set *IdleSet, s *sleeper, far net.Conn){
		"bytes":            func(_ *IdleSet, _ *sleeper, far net.Conn) { far.Write([]byte("x")) },
		"the end":          func(_ *IdleSet, _ *sleeper, far net.Conn) { far.Close() },
		"a half close":     func(_ *IdleSet, _ *sleeper, far net.Conn) { far.(*net.TCPConn).CloseWrite() },
		"a reset":          func(_ *IdleSet, _ *sleeper, far net.Conn) { far.(*net.TCPConn).SetLinger(0); far.Close() },
		"Wake":             func(set *IdleSet, s *sleeper, _ net.Conn) { set.Wake(&s.Idle) },
		"Wake and bytes":   func(set *IdleSet, s *sleeper, far net.Conn) { far.Write([]byte("x")); set.Wake(&s.Idle) },
		"Wake twice":       func(set *IdleSet, s *sleeper, _ net.Conn) { set.Wake(&s.Idle); set.Wake(&s.Idle) },
		"bytes in advance": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := new(IdleSet)
			other, _, _ := asleep(t, set, time.Time{})
			var s *sleeper
			if happens != nil {
				var far net.Conn
				s, _, far = asleep(t, set, time.Time{})
				happens(set, s, far)
			} else {
				near, far := accepted(t)
				near.Poll()
				far.Write([]byte("x"))
				s = newSleeper()
				set.Sleep(&s.Idle, near.raw(), time.Time{})
			}
			s.wantAwake(t)

			set.Wake(&other.Idle)
			other.wantAwake(t)
			if s.times.Load() != 1 || other.times.Load() != 1 {
				t.Errorf("awakened %d and %d times", s.times.Load(), other.times.Load())
			}
		})
	}
}

func TestIdleSet_WakesAtTheLimit(t *testing.T) {
	t.Parallel()
	set := new(IdleSet)
	begun := time.Now()
	late, _, _ := asleep(t, set, begun.Add(500*time.Millisecond))
	never, _, _ := asleep(t, set, time.Time{})
	early, _, _ := asleep(t, set, begun.Add(200*time.Millisecond))

	early.wantAwake(t)
	if took := time.Since(begun); took < 200*time.Millisecond {
		t.Errorf("awakened after %v", took)
	}
	late.wantAwake(t)
	if took := time.Since(begun); took < 500*time.Millisecond {
		t.Errorf("awakened after %v", took)
	}
	if never.times.Load() > 0 {
		t.Error("a connection without a limit was awakened")
	}
	set.Wake(&never.Idle)
	never.wantAwake(t)
}

// Nothing that was in the set before keeps a connection from sleeping again,
// also when its descriptor had another owner.
func TestIdleSet_SleepsAgain(t *testing.T) {
	t.Parallel()
	set := new(IdleSet)
	s, near, far := asleep(t, set, time.Time{})
	for range 20 {
		far.Write([]byte("x"))
		s.wantAwake(t)
		near.Read(make([]byte, 1))
		if !set.Sleep(&s.Idle, near.raw(), time.Time{}) {
			t.Fatal("it may not sleep again")
		}
	}

	near.Close() // by somebody else, who has not called Wake yet
	set.mu.Lock()
	fd := s.fd
	set.mu.Unlock()
	var again *sleeper
	var client net.Conn
	for again == nil { // until one has the same descriptor
		next, end := accepted(t)
		next.Poll()
		have := -1
		next.raw().Control(func(f uintptr) { have = int(f) })
		if have == fd || have > fd+50 {
			again, client = newSleeper(), end
			set.Sleep(&again.Idle, next.raw(), time.Time{})
			if have != fd {
				set.Wake(&s.Idle)
			}
		}
	}
	s.wantAwake(t)
	client.Write([]byte("x"))
	again.wantAwake(t)
}

func TestIdleSet_RefusesAClosedConnection(t *testing.T) {
	t.Parallel()
	near, _ := accepted(t)
	near.Poll()
	near.Close()
	s, set := newSleeper(), new(IdleSet)
	if set.Sleep(&s.Idle, near.raw(), time.Time{}) {
		t.Error("it sleeps")
	}
	if (*IdleSet)(nil).Sleep(&s.Idle, near.raw(), time.Time{}) {
		t.Error("it sleeps in no set")
	}
	(*IdleSet)(nil).Wake(&s.Idle)
	set.Wake(&s.Idle)
}

// 500 connections take one goroutine, and none when they are awake.
func TestIdleSet_TakesOneGoroutine(t *testing.T) {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); limit.Cur < 1200 {
		t.Skip("too few descriptors")
	}
	before := runtime.NumGoroutine()
	set := new(IdleSet)
	var all []*sleeper
	for range 500 {
		s, _, _ := asleep(t, set, time.Now().Add(time.Hour))
		all = append(all, s)
	}
	if n := runtime.NumGoroutine(); n > before+1 {
		t.Errorf("%d goroutines were %d", n, before)
	}

	for _, s := range all {
		set.Wake(&s.Idle)
	}
	for _, s := range all {
		s.wantAwake(t)
	}
	set.mu.Lock()
	defer set.mu.Unlock()
	if set.running || set.count > 0 || len(set.woken) > 0 {
		t.Errorf("running: %v, %d left", set.running, set.count)
	}
}
