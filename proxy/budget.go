package proxy

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// budget keeps retries from becoming a storm: in any ten seconds at most a share of the requests, plus ten a second,
// may be repeats. Attempts after which nothing was sent cost nothing, so they are not counted.
type budget struct {
	share float64
	slot  [slots]struct {
		second   atomic.Int64
		requests atomic.Int64
		retries  atomic.Int64
	}
}

// floor is the number of retries that any ten seconds allow.
const floor = 10 * slots

// attempt counts a request's first attempt.
func (b *budget) attempt(again bool, now time.Time) {
	if !again {
		b.at(now).requests.Add(1)
	}
}

// take pays for a retry if the budget allows it.
func (b *budget) take(now time.Time) bool {
	if b.left(now) < 1 {
		return false
	}
	b.at(now).retries.Add(1)
	return true
}

// left is how many retries may be made now.
func (b *budget) left(now time.Time) float64 {
	var requests, retries int64
	for i := range b.slot {
		if s := &b.slot[i]; now.Unix()-s.second.Load() < slots {
			requests += s.requests.Load()
			retries += s.retries.Load()
		}
	}
	return b.share*float64(requests) + floor - float64(retries)
}

func (b *budget) at(now time.Time) *struct {
	second   atomic.Int64
	requests atomic.Int64
	retries  atomic.Int64
} {
	s := &b.slot[now.Unix()%slots]
	if old := s.second.Load(); old != now.Unix() && s.second.CompareAndSwap(old, now.Unix()) {
		s.requests.Store(0)
		s.retries.Store(0)
	}
	return s
}

// backoff is a wait of up to 25 ms, evenly drawn, so that clients that failed together don't return together.
func backoff() time.Duration { return time.Duration(rand.Int64N(int64(25 * time.Millisecond))) }
