package proxy

import "sort"

// snapshot is one immutable view of a backend service. Readers get it whole from an atomic pointer.
type snapshot struct {
	entries []entry // every endpoint that discovery published, sorted by name
	pick    picker  // those that a new session may go to
	panic   bool    // too few are healthy, so all are in pick
	ring    *keyring
	byID    []map[cookieID]int32 // per key of ring: the entry of a cookie's backend
	until   int64                // Unix nanoseconds from which on the clock alone changes who is eligible
}

// entry is an endpoint with what the snapshot says of it.
type entry struct {
	ep       *endpoint
	weight   int
	priority int
	usable   bool // its sessions may go on: healthy and not ejected
	trial    bool // its ejection is over: one request at a time may try it
	spare    bool // endpoints of a better priority are in use: no new session goes here
}

// usable returns the entry of a cookie's backend; nil when the backend is not published any more.
func (s *snapshot) bound(key int, id cookieID) *entry {
	if key >= len(s.byID) {
		return nil
	}
	if i, ok := s.byID[key][id]; ok {
		return &s.entries[i]
	}
	return nil
}

// find returns the entry of an endpoint by name; nil when there is none.
func (s *snapshot) find(name string) *entry {
	i := sort.Search(len(s.entries), func(i int) bool { return s.entries[i].ep.name >= name })
	if i < len(s.entries) && s.entries[i].ep.name == name {
		return &s.entries[i]
	}
	return nil
}

// eligible returns how many endpoints a new session could go to.
func (s *snapshot) eligible() int { return len(s.pick.entries) }
