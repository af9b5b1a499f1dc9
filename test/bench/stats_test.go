//go:build linux

package main

import (
	"math"
	"testing"
	"time"
)

func TestSeries_Quartiles(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in   series
		want quartiles
	}{
		{series{7}, quartiles{7, 7, 7}},
		{series{4, 1, 3, 2}, quartiles{1.75, 2.5, 3.25}},
		{series{5, 1, 4, 2, 3}, quartiles{2, 3, 4}},
	} {
		if got := tc.in.quartiles(); got != tc.want {
			t.Errorf("%v: got %v, want %v", tc.in, got, tc.want)
		}
	}

	if got := (series{}).median(); !math.IsNaN(got) {
		t.Errorf("the median of nothing is %v", got)
	}
}

func TestSeries_RatiosAreFormedRoundByRound(t *testing.T) {
	t.Parallel()

	// The machine slows down threefold in the second round. The ratio of the
	// medians would be 2 / 2 = 1; ours costs half in every round.
	ours, theirs := series{1, 3, 1}, series{2, 6, 2}
	if got := ours.over(theirs).quartiles(); got != (quartiles{0.5, 0.5, 0.5}) {
		t.Errorf("got %v", got)
	}
	if got := (series{1, 2, 3}).over(series{1}); len(got) != 1 {
		t.Errorf("a round that only one side has was counted: %v", got)
	}
}

func TestHistogram_QuantilesAreWithinOneStep(t *testing.T) {
	t.Parallel()
	h := &histogram{}
	for i := 1; i <= 100_000; i++ {
		h.record(time.Duration(i) * time.Microsecond)
	}

	for _, tc := range []struct {
		q    float64
		want time.Duration
	}{{0.5, 50 * time.Millisecond}, {0.99, 99 * time.Millisecond}, {0, time.Microsecond}} {
		got := h.quantile(tc.q)
		if off := math.Abs(float64(got-tc.want)) / float64(tc.want); off > 0.016 {
			t.Errorf("quantile %v: got %v, want %v", tc.q, got, tc.want)
		}
	}
}

func TestHistogram_BucketsGrowWithoutGaps(t *testing.T) {
	t.Parallel()
	last := -1
	for v := range uint64(1 << 16) {
		b := bucket(v)
		if b != last && b != last+1 {
			t.Fatalf("bucket(%d) is %d after %d", v, b, last)
		}

		last = b
		if m := uint64(middle(b)); bucket(m) != b {
			t.Fatalf("the middle of bucket %d is %d, which is in %d", b, m, bucket(m))
		}
	}
}
