package access

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// mostFailures is the number of wrong passwords that a client may send
	// within failureWindow.
	mostFailures  = 10
	failureWindow = time.Minute

	// mostClients is the number of clients whose failures are counted
	// separately. The failures of all further clients are counted together, so
	// a client can't escape by using many addresses.
	mostClients = 1 << 14
)

// Failures counts wrong passwords by client. The zero value counts none. Safe
// for concurrent use.
type Failures struct {
	mu   sync.Mutex
	by   map[netip.Addr]failed
	rest failed // of all clients without an entry of their own
}

type failed struct {
	count int
	since time.Time
}

// Blocked returns how long a client has to wait until its next password is
// checked, or 0.
func (f *Failures) Blocked(client netip.Addr, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	of, known := f.by[clientKey(client)]
	if !known && len(f.by) >= mostClients {
		of = f.rest
	}
	if of.count < mostFailures {
		return 0
	}

	return max(0, failureWindow-of.age(now))
}

// Count counts a wrong password.
func (f *Failures) Count(client netip.Addr, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := clientKey(client)
	of, known := f.by[key]
	if !known && !f.room(now) {
		f.rest = f.rest.another(now)
		return
	}
	if f.by == nil {
		f.by = make(map[netip.Addr]failed)
	}
	f.by[key] = of.another(now)
}

// room reports whether there is room for one more client. If there is none, it
// first removes the clients whose window has passed.
func (f *Failures) room(now time.Time) bool {
	if len(f.by) < mostClients {
		return true
	}
	// While the shared count has failures, all entries were searched already in
	// its window.
	if f.rest.count > 0 && f.rest.age(now) < failureWindow {
		return false
	}
	for key, of := range f.by {
		if of.age(now) >= failureWindow {
			delete(f.by, key)
		}
	}

	return len(f.by) < mostClients
}

func (f failed) another(now time.Time) failed {
	if f.count == 0 || f.age(now) >= failureWindow {
		return failed{1, now}
	}

	return failed{f.count + 1, f.since}
}

// age returns how long ago the window began. A clock that was set back ends the
// window.
func (f failed) age(now time.Time) time.Duration {
	if age := now.Sub(f.since); age >= 0 {
		return age
	}

	return failureWindow
}

// clientKey returns the address that stands for a client: its IPv4 address, or
// the IPv6 network that a provider gives to one customer.
func clientKey(a netip.Addr) netip.Addr {
	if a = a.Unmap().WithZone(""); !a.Is6() {
		return a
	}
	p, _ := a.Prefix(64)

	return p.Addr()
}
