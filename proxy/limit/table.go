package limit

import "sync"

// The places of a table are in sets of eight. A key belongs to one set, so a
// look-up reads at most two cache lines, even if the table is full.
const (
	shards       = 64
	placesOfSet  = 8
	spillOfShard = 256
)

// table holds the arrival times of a limit's keys, by their hashes. Its memory
// is fixed, and is taken from the memory budget (config.Platform.LimitPlaces):
// 1.1 MiB for 65,536 places. Safe for concurrent use.
//
// A place whose time has passed is free. A key without a free place in its set
// is counted in the spill: two cells of its shard, which other keys use too.
// The smaller cell counts (a count-min sketch with conservative update), so a
// key may be charged for others, but never for less than its own requests. A
// live arrival time is never dropped, so flooding the table does not help a
// client.
type table struct {
	shards [shards]shard
}

type shard struct {
	mu    sync.Mutex
	sets  [][placesOfSet]place
	spill [spillOfShard]int64
}

// newTable makes a table of so many places: a power of two, at least one set
// for each shard.
func newTable(places int) *table {
	t := new(table)
	sets := make([][placesOfSet]place, max(places/placesOfSet, shards))
	each := len(sets) / shards
	for i := range t.shards {
		t.shards[i].sets = sets[i*each : (i+1)*each]
	}

	return t
}

// place is the arrival time of the key with the hash.
type place struct {
	hash    uint64
	arrival int64
}

// locate returns the shard and the set of a hash, by different bits of it.
func (t *table) locate(hash uint64) (*shard, *[placesOfSet]place) {
	s := &t.shards[hash%shards]
	return s, &s.sets[hash/shards%uint64(len(s.sets))]
}

// spilt returns the two cells of a hash. They may be the same.
func (s *shard) spilt(hash uint64) (a, b *int64) {
	return &s.spill[hash>>32%spillOfShard], &s.spill[hash>>48%spillOfShard]
}

// find returns the place of a key. If it has none, it returns a free place, if
// there is one.
func find(set *[placesOfSet]place, r rate, hash uint64, now int64) (found, free *place) {
	for i := range set {
		p := &set[i]
		switch {
		case p.hash == hash && p.arrival != 0:
			return p, nil
		case free == nil && !r.live(p.arrival, now):
			free = p
		}
	}

	return nil, free
}

// take charges a request to a key, and returns how long it is too early.
func (t *table) take(r rate, hash uint64, now int64) (early int64) {
	s, set := t.locate(hash)
	s.mu.Lock()
	defer s.mu.Unlock()

	found, free := find(set, r, hash, now)
	if found != nil {
		next, wait := r.take(found.arrival, now)
		found.arrival = next
		return int64(wait)
	}

	// The key is new, or was counted in the spill.
	a, b := s.spilt(hash)
	before := now
	if r.live(*a, now) && r.live(*b, now) {
		before = min(*a, *b)
	}
	next, wait := r.take(before, now)
	switch {
	case wait > 0:
	case free != nil:
		*free = place{hash, next}
	default:
		raise(a, r, next, now)
		raise(b, r, next, now)
	}

	return int64(wait)
}

// raise moves a cell to a later time.
func raise(cell *int64, r rate, to, now int64) {
	if !r.live(*cell, now) || *cell < to {
		*cell = to
	}
}

// early returns how long a request of a key would be too early, without
// charging it. It knows only keys with a place of their own.
func (t *table) early(r rate, hash uint64, now int64) int64 {
	s, set := t.locate(hash)
	s.mu.Lock()
	defer s.mu.Unlock()

	found, _ := find(set, r, hash, now)
	if found == nil {
		return 0
	}
	_, wait := r.take(found.arrival, now)

	return int64(wait)
}

// set gives a key an arrival time, if there is a place for it.
func (t *table) set(r rate, hash uint64, arrival, now int64) {
	s, set := t.locate(hash)
	s.mu.Lock()
	defer s.mu.Unlock()

	found, free := find(set, r, hash, now)
	if found == nil {
		found = free
	}
	if found != nil {
		*found = place{hash, arrival}
	}
}

// known returns how many keys have a place and used something of their burst,
// and room is how many places there are.
func (t *table) known(r rate, now int64) (known, room int) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for j := range s.sets {
			for k := range s.sets[j] {
				if r.live(s.sets[j][k].arrival, now) {
					known++
				}
			}
		}
		s.mu.Unlock()
		room += len(s.sets) * placesOfSet
	}

	return known, room
}
