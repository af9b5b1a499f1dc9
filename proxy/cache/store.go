package cache

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	shards      = 16
	mostOfAKey  = 16                // variants of one key
	remembering = 120 * time.Second // how long no request waits for answers for a key
	unstorable  = 10 * time.Second  // how long they are not stored either
	standingIn  = 10 * time.Second  // how long a plain answer replaces a compressed one
)

// resource is everything that is stored for one URL.
type resource struct {
	hash     uint64
	next     *resource // with the same hash
	entries  []*entry
	first    [1]*entry // the memory of entries, as long as there is one
	fetching int32     // requests in progress that may store an answer here
	// dropped counts invalidations of the URL. A request that began before one
	// of them stores nothing.
	dropped uint32
	flights *flight
	url     string
}

func (u *resource) empty() bool {
	return len(u.entries) == 0 && u.fetching == 0 && u.flights == nil
}

// shard is a part of the store. Its entries are in a queue of SIEVE (Zhang et
// al., NSDI 2024): a use sets one bit and moves nothing. To make room, the hand
// moves from the oldest entry to the newest, clears the bits, and drops the
// first entry without one.
type shard struct {
	mu        sync.RWMutex
	resources map[uint64]*resource // by the hash of the URL
	newest    *entry
	oldest    *entry
	hand      *entry
	count     int // entries
	markers   int // of them
}

// store holds entries by URL and key.
type store struct {
	memory
	seed   maphash.Seed
	shards [shards]shard
	counts counts
}

func newStore(most int64) *store {
	s := &store{seed: maphash.MakeSeed()}
	s.most = most
	for i := range s.shards {
		s.shards[i].resources = make(map[uint64]*resource)
	}
	return s
}

// place returns the hash of a URL, and its shard.
func (s *store) place(url []byte) (hash uint64, sh *shard) {
	hash = maphash.Bytes(s.seed, url)
	return hash, &s.shards[hash%shards]
}

// resource returns the resource of a URL; nil if there is none. The caller
// holds the lock.
func (sh *shard) resource(hash uint64, url []byte) *resource {
	u := sh.resources[hash]
	for u != nil && u.url != string(url) {
		u = u.next
	}
	return u
}

// find returns the entry for a request, and holds it. other reports that there
// are variants for other requests.
func (sh *shard) find(
	hash uint64, url, key []byte, v *view, now time.Time,
) (found *entry, other bool) {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	u := sh.resource(hash, url)
	if u == nil {
		return nil, false
	}
	found, other = u.find(key, v, now)
	if found != nil && found.marker == nil {
		found.hold()
		if !found.visited.Load() {
			found.visited.Store(true)
		}
	}
	return found, other
}

// find searches from the newest entry to the oldest.
func (u *resource) find(key []byte, v *view, now time.Time) (found *entry, other bool) {
	for i := len(u.entries) - 1; i >= 0; i-- {
		e := u.entries[i]
		switch {
		case e.key != string(key):
		case e.marker != nil:
			if found == nil && now.Before(e.marker.until) {
				found = e
			}
		case e.suits(v, now):
			return e, other
		default:
			other = true
		}
	}
	return found, other
}

// add makes the resource of a URL. The caller holds the lock.
func (sh *shard) add(hash uint64, url []byte) *resource {
	u := &resource{hash: hash, url: string(url), next: sh.resources[hash]}
	u.entries = u.first[:0]
	sh.resources[hash] = u
	return u
}

// done ends a request that may have stored an answer.
func (s *store) done(sh *shard, u *resource) {
	sh.mu.Lock()
	u.fetching--
	sh.tidy(u)
	sh.mu.Unlock()
}

// tidy removes a resource of which nothing is left.
func (sh *shard) tidy(u *resource) {
	if !u.empty() {
		return
	}
	at := sh.resources[u.hash]
	switch {
	case at == u && u.next == nil:
		delete(sh.resources, u.hash)
	case at == u:
		sh.resources[u.hash] = u.next
	default:
		for at != nil && at.next != u {
			at = at.next
		}
		if at != nil {
			at.next = u.next
		}
	}
}

// stores reports whether an answer is stored at a key.
func (u *resource) stores(key string) bool {
	return slices.ContainsFunc(u.entries, func(o *entry) bool {
		return o.key == key && o.marker == nil
	})
}

// insert puts an entry into the store, and removes the one that it replaces.
// Its memory is taken already. It reports false if the URL was invalidated
// since the request began.
func (s *store) insert(sh *shard, u *resource, e *entry, dropped uint32) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if u.dropped != dropped || e.marker != nil && e.marker.idle && u.stores(e.key) {
		return false
	}
	same := 0
	var least *entry
	for i := 0; i < len(u.entries); i++ {
		o := u.entries[i]
		switch {
		case o.sameChoice(e) || o.marker != nil && o.key == e.key:
			s.remove(sh, o)
			i--
		case o.key == e.key:
			same++
			if least == nil || least.visited.Load() && !o.visited.Load() {
				least = o
			}
		}
	}
	if same >= mostOfAKey {
		s.remove(sh, least)
		s.counts.evictions.Add(1)
	}
	e.resource, e.listed = u, true
	e.hold()
	u.entries = append(u.entries, e)
	sh.push(e)
	return true
}

// push makes an entry the newest of the queue.
func (sh *shard) push(e *entry) {
	e.older = sh.newest
	if sh.newest != nil {
		sh.newest.newer = e
	}
	sh.newest = e
	if sh.oldest == nil {
		sh.oldest = e
	}
	sh.count++
	if e.marker != nil {
		sh.markers++
	}
}

// remove takes an entry out of the store. The caller holds the lock.
func (s *store) remove(sh *shard, e *entry) {
	if !e.listed {
		return
	}
	e.listed = false
	if sh.hand == e {
		sh.hand = e.newer
	}
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		sh.newest = e.older
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		sh.oldest = e.newer
	}
	e.newer, e.older = nil, nil
	sh.count--
	if e.marker != nil {
		sh.markers--
	}
	u := e.resource
	for i, o := range u.entries {
		if o == e {
			u.entries = slices.Delete(u.entries, i, i+1)
			break
		}
	}
	sh.tidy(u)
	e.drop(&s.memory)
}

// discard removes one entry, if it is still in the store.
func (s *store) discard(sh *shard, e *entry) {
	sh.mu.Lock()
	s.remove(sh, e)
	sh.mu.Unlock()
}

// reserve takes memory, and drops other entries for it if necessary: first
// those of one shard, then those of the others. It reports false if there is no
// room. Entries in use are not dropped, because that would free nothing.
func (s *store) reserve(sh *shard, n int64) bool {
	if n > s.most {
		return false
	}
	if s.take(n) {
		return true
	}
	from := 0
	for i := range s.shards {
		if &s.shards[i] == sh {
			from = i
		}
	}
	for i := 0; i < shards; i++ {
		for s.evict(&s.shards[(from+i)%shards]) {
			if s.take(n) {
				return true
			}
		}
	}
	return s.take(n)
}

// refit replaces the head of an entry, which is held, by one that a validation
// made of it, and takes the memory for what was added. It reports false if
// there is no room, or if the head has been replaced meanwhile.
func (s *store) refit(sh *shard, e *entry, old, fresh *stored) bool {
	more := fresh.memory() - old.memory()
	if more > 0 && !s.reserve(sh, more) {
		return false
	}
	if !e.head.CompareAndSwap(old, fresh) {
		s.give(max(0, more))
		return false
	}
	e.size.Add(more)
	s.give(max(0, -more))
	return true
}

// evict drops one entry of a shard. It reports false if none can be dropped.
func (s *store) evict(sh *shard) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for range 2 * sh.count {
		e := sh.hand
		if e == nil {
			e = sh.oldest
		}
		sh.hand = e.newer
		if e.inUse() {
			continue
		}
		if e.visited.Load() {
			e.visited.Store(false)
			continue
		}
		s.remove(sh, e)
		s.counts.evictions.Add(1)
		return true
	}
	return false
}

// mark puts a marker into the store. No other entry is dropped for an idle one.
func (s *store) mark(sh *shard, u *resource, e *entry, dropped uint32) {
	n := e.weigh() + int64(len(u.url))
	if !s.take(n) && (e.marker.idle || !s.reserve(sh, n)) {
		return
	}
	e.size.Store(n)
	e.hold()
	s.insert(sh, u, e, dropped)
	e.drop(&s.memory)
}

// dropURL removes all answers for a URL, and keeps those that are on their way
// from being stored. It returns how many it removed.
func (s *store) dropURL(url []byte) (n int) {
	hash, sh := s.place(url)
	sh.mu.RLock()
	known := sh.resource(hash, url) != nil
	sh.mu.RUnlock()
	if !known {
		return 0
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if u := sh.resource(hash, url); u != nil {
		n = s.empty(sh, u)
	}
	return n
}

// empty removes the entries of a resource. It returns how many answers it
// removed.
func (s *store) empty(sh *shard, u *resource) (n int) {
	u.dropped++
	for len(u.entries) > 0 {
		e := u.entries[len(u.entries)-1]
		if e.marker == nil {
			n++
		}
		s.remove(sh, e)
	}
	return n
}

// dropPrefix removes the answers for all URLs with a prefix; "" stands for all
// URLs.
func (s *store) dropPrefix(prefix string) (n int) {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		for _, u := range sh.resources {
			for u != nil {
				next := u.next // empty may take u out
				if strings.HasPrefix(u.url, prefix) {
					n += s.empty(sh, u)
				}
				u = next
			}
		}
		sh.mu.Unlock()
	}
	return n
}

// objects returns the number of stored answers.
func (s *store) objects() (n int64) {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.RLock()
		n += int64(sh.count - sh.markers)
		sh.mu.RUnlock()
	}
	return n
}
