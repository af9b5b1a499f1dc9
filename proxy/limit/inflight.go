package limit

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// InFlight counts the requests that each client has in progress. It holds only
// clients with a request, so the number of requests bounds its memory. Make one
// with NewInFlight. Safe for concurrent use.
type InFlight struct {
	most   int
	seed   maphash.Seed
	shards [shards]inFlightShard

	refused atomic.Int64
}

type inFlightShard struct {
	mu      sync.Mutex
	clients map[Key]int
}

// NewInFlight makes an InFlight that allows each client at most most requests.
func NewInFlight(most int) *InFlight { return &InFlight{most: most, seed: maphash.MakeSeed()} }

// Enter counts a request that begins, and reports whether it is allowed. Only
// after true must Leave be called.
func (f *InFlight) Enter(client Key) bool {
	s := f.shard(&client)
	s.mu.Lock()
	defer s.mu.Unlock()

	n := s.clients[client]
	if n >= f.most {
		f.refused.Add(1)
		return false
	}
	if s.clients == nil {
		s.clients = make(map[Key]int)
	}
	s.clients[client] = n + 1

	return true
}

// Leave counts a request that has ended.
func (f *InFlight) Leave(client Key) {
	s := f.shard(&client)
	s.mu.Lock()
	defer s.mu.Unlock()

	if n := s.clients[client]; n > 1 {
		s.clients[client] = n - 1
	} else {
		delete(s.clients, client)
	}
}

func (f *InFlight) shard(client *Key) *inFlightShard {
	return &f.shards[client.hash(f.seed)%shards]
}
