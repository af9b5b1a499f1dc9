//go:build linux

package main

import (
	"math/bits"
	"time"
)

// histogram counts durations in logarithmic steps of at most 1.6 %, so that
// recording one costs a few nanoseconds and no memory.
type histogram struct {
	counts [64 * 40]uint32
	total  uint64
}

func (h *histogram) record(d time.Duration) {
	h.counts[min(bucket(uint64(max(d, 0))), len(h.counts)-1)]++
	h.total++
}

// bucket splits every power of two into 64 equal steps.
func bucket(v uint64) int {
	e := max(bits.Len64(v)-7, 0)
	return e*64 + int(v>>e)
}

// middle is the centre of a bucket.
func middle(i int) time.Duration {
	if i < 128 {
		return time.Duration(i)
	}
	e := i/64 - 1
	return time.Duration((i-e*64)<<e + 1<<e/2)
}

// quantile returns the duration below which the share q of all records lies;
// 0 without records.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(q * float64(h.total))
	seen := uint64(0)
	for i, n := range h.counts {
		seen += uint64(n)
		if seen > rank {
			return middle(i)
		}
	}

	return 0
}
