package backend

import (
	"sort"

	"github.com/pillion-lb/pillion/proxy/affinity"
)

// snapshot is an immutable view of a backend service. Readers get it as a whole
// from an atomic pointer.
type snapshot struct {
	entries  []entry // all published endpoints, sorted by name
	pick     picker  // the entries that a new session may go to
	panic    bool    // too few endpoints are usable, so all are in pick
	ring     *affinity.Keyring
	sessions affinity.Index // finds the entry of a cookie's backend
	// When the clock changes who is eligible, in Unix nanoseconds.
	until int64
}

// entry is an endpoint and its state in the snapshot.
type entry struct {
	ep       *Endpoint
	weight   int
	priority int
	usable   bool // healthy and not ejected: its sessions may stay
	trial    bool // its ejection time is over: one request at a time may try it
	spare    bool // endpoints of a better priority are in use: it gets no new sessions
}

// entryOf returns the entry of a cookie's backend, or nil if the backend is not
// published any more.
func (s *snapshot) entryOf(b affinity.Binding) *entry {
	if i, ok := s.sessions.Find(b); ok {
		return &s.entries[i]
	}

	return nil
}

// names returns the names of all entries, in order.
func (s *snapshot) names() []string {
	names := make([]string, len(s.entries))
	for i := range s.entries {
		names[i] = s.entries[i].ep.Name
	}

	return names
}

// find returns the entry of an endpoint by name, or nil.
func (s *snapshot) find(name string) *entry {
	i := sort.Search(len(s.entries), func(i int) bool { return s.entries[i].ep.Name >= name })
	if i < len(s.entries) && s.entries[i].ep.Name == name {
		return &s.entries[i]
	}
	return nil
}

// eligible returns the number of endpoints that a new session may go to.
func (s *snapshot) eligible() int { return len(s.pick.entries) }
