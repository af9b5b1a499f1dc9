//go:build linux && (amd64 || arm64)

package socket

import (
	"os"
	"sync"
	"syscall"
	"time"
)

// IdleSet waits for many idle connections in one goroutine, so that none of
// them needs a goroutine, and a stack, of its own. It is an epoll set beside
// the runtime's, and the runtime's poller waits for it (epoll(7)). The
// goroutine exists while the set has connections. The zero value is ready; nil
// takes none. Safe for concurrent use.
type IdleSet struct {
	mu      sync.Mutex
	file    *os.File // of the epoll set; nil before the first connection
	fd      int      // the same
	failed  bool     // this kernel has no such set
	members []*Idle  // by descriptor
	count   int
	look    time.Time // when the goroutine looks for limits that have passed; zero is never
	woken   []*Idle   // the goroutine wakes them
	running bool
}

// Idle is the place of one connection in a set. Sleeper is set before the first
// Sleep.
type Idle struct {
	Sleeper Sleeper
	fd      int
	limit   time.Time
}

// lookTime is the shortest time between two looks for limits.
const lookTime = 100 * time.Millisecond

// past is a deadline that makes the goroutine look at the set.
var past = time.Unix(1, 0)

// Sleep puts a connection into the set, and reports whether it could. The
// Sleeper is called once: when the connection has something to read or has
// ended, at the limit, or after Wake. Its caller must not use the connection
// meanwhile. A zero limit is none.
func (s *IdleSet) Sleep(i *Idle, raw syscall.RawConn, limit time.Time) bool {
	if s == nil || raw == nil {
		return false
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open() {
		return false
	}

	fd := -1
	raw.Control(func(f uintptr) {
		if s.watch(int(f)) {
			fd = int(f)
		}
	})
	if fd < 0 {
		return false
	}

	s.put(i, fd)
	i.limit = limit
	if !limit.IsZero() && (s.look.IsZero() || limit.Before(s.look)) {
		s.look = limit
	}
	if !s.running {
		s.running = true
		go s.run()
	}
	s.arm()

	return true
}

// Wake makes a connection leave the set, unless it has left.
func (s *IdleSet) Wake(i *Idle) {
	if s == nil {
		return
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if i.fd < len(s.members) && s.members[i.fd] == i {
		s.take(i)
		s.arm()
	}
}

// Len returns the number of connections in the set.
func (s *IdleSet) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.count
}

// open makes the epoll set.
func (s *IdleSet) open() bool {
	if s.file != nil || s.failed {
		return !s.failed
	}

	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return false // there may be a descriptor for it later
	}

	syscall.SetNonblock(fd, true) // os.NewFile then asks the runtime's poller
	s.file, s.fd = os.NewFile(uintptr(fd), "idle connections"), fd
	if s.file.SetReadDeadline(time.Time{}) != nil {
		s.file.Close()
		s.failed = true
	}

	return !s.failed
}

// epollOneShot is EPOLLONESHOT: one event, until the descriptor is set again.
const epollOneShot = 1 << 30

// watch makes the set wait for a descriptor. One that was in the set before is
// still known there, without events.
func (s *IdleSet) watch(fd int) bool {
	e := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP | epollOneShot, Fd: int32(fd)}
	err := syscall.EpollCtl(s.fd, syscall.EPOLL_CTL_MOD, fd, &e)
	if err == syscall.ENOENT {
		err = syscall.EpollCtl(s.fd, syscall.EPOLL_CTL_ADD, fd, &e)
	}

	return err == nil
}

// put enters a connection. If the descriptor still belongs to another one, that
// connection was closed by somebody else a moment ago.
func (s *IdleSet) put(i *Idle, fd int) {
	for len(s.members) <= fd {
		s.members = append(s.members, nil)
	}
	if other := s.members[fd]; other != nil {
		s.take(other)
	}

	i.fd, s.members[fd] = fd, i
	s.count++
}

// take moves a connection to those that the goroutine wakes.
func (s *IdleSet) take(i *Idle) {
	s.members[i.fd] = nil
	s.count--
	s.woken = append(s.woken, i)
}

// arm sets when the goroutine looks at the set if there is no event.
func (s *IdleSet) arm() {
	at := s.look
	if len(s.woken) > 0 {
		at = past
	}
	s.file.SetReadDeadline(at)
}

// run wakes connections until the set is empty.
func (s *IdleSet) run() {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return // not of an open file
	}

	var events [64]syscall.EpollEvent
	for woken, more := s.next(nil); ; woken, more = s.next(s.wait(raw, events[:])) {
		for _, i := range woken {
			i.Sleeper.Awake()
		}
		if !more {
			return
		}
	}
}

// wait returns the events that have come, or none at the deadline.
func (s *IdleSet) wait(raw syscall.RawConn, events []syscall.EpollEvent) []syscall.EpollEvent {
	n := 0
	raw.Read(func(fd uintptr) bool {
		n, _ = syscall.EpollWait(int(fd), events, 0)
		return n != 0
	})

	return events[:max(n, 0)]
}

// next returns the connections to wake. more is false if the goroutine has to
// end because there are no others.
func (s *IdleSet) next(events []syscall.EpollEvent) (woken []*Idle, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	for _, e := range events {
		if i := s.members[e.Fd]; i != nil {
			s.take(i)
		}
	}
	if now := time.Now(); !s.look.IsZero() && !now.Before(s.look) {
		s.expire(now)
	}

	woken, s.woken = s.woken, nil
	s.running = s.count > 0
	if !s.running {
		s.look = time.Time{}
	}
	s.arm()

	return woken, s.running
}

// expire takes the connections whose limit has passed.
func (s *IdleSet) expire(now time.Time) {
	s.look = time.Time{}
	for _, i := range s.members {
		switch {
		case i == nil || i.limit.IsZero():
		case !now.Before(i.limit):
			s.take(i)
		case s.look.IsZero() || i.limit.Before(s.look):
			s.look = i.limit
		}
	}

	if soon := now.Add(lookTime); !s.look.IsZero() && s.look.Before(soon) {
		s.look = soon
	}
}
