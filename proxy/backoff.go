package proxy

import (
	"math/rand/v2"
	"time"
)

// backoff returns a random wait of up to 25 ms, so that requests that failed
// together are not repeated together.
func backoff() time.Duration { return time.Duration(rand.Int64N(int64(25 * time.Millisecond))) }
