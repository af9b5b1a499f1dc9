package history

import (
	"math/bits"
	"time"
)

// A bucket counts durations that differ by an eighth at most. Below 16 µs, each
// microsecond has a bucket. Above, there are eight buckets from each power of
// two to the next.
const (
	fine    = 3 // a doubling has 1<<fine buckets
	buckets = (32-fine)<<fine + 1<<fine
)

// bucket returns the bucket of a duration. The last one has everything beyond
// an hour.
func bucket(d time.Duration) int {
	us := uint64(max(0, d)) / uint64(time.Microsecond)
	us = min(us, 1<<32-1)
	if us < 1<<fine {
		return int(us)
	}

	shift := bits.Len64(us) - fine - 1

	return shift<<fine + int(us>>shift)
}

// middle returns the duration in the middle of a bucket.
func middle(i int) time.Duration {
	if i < 2<<fine {
		return time.Duration(i) * time.Microsecond
	}

	shift := i>>fine - 1
	low := uint64(1<<fine+i&(1<<fine-1)) << shift

	return time.Duration(low+1<<shift/2) * time.Microsecond
}
