package chisquare

import (
	"math"
	"testing"
)

// The wanted values are from tables of the chi-square distribution.
func TestSurvival_AgreesWithTables(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		x       float64
		degrees int
		want    float64
	}{
		{3.841459, 1, 0.05}, {6.634897, 1, 0.01}, {10.827566, 1, 0.001},
		{5.991465, 2, 0.05}, {9.210340, 2, 0.01}, {13.815511, 2, 0.001},
		{0.710723, 4, 0.95}, {9.487729, 4, 0.05}, {12.591587, 6, 0.05},
		{65.170769, 48, 0.05}, {84.037126, 48, 0.001}, {33.098077, 48, 0.95}, {23.928126, 1, 1e-6}, {27.631021, 2, 1e-6},
	} {
		if got := Survival(c.x, c.degrees); math.Abs(got-c.want) > 1e-5*math.Max(c.want, 0.1) {
			t.Errorf("Survival(%v, %d) = %v, want %v", c.x, c.degrees, got, c.want)
		}
	}
}

func TestP_IsOneForExactSharesAndSmallForLargeDeviations(t *testing.T) {
	t.Parallel()
	if p := P([]int{5000, 5000}, []float64{1, 1}); p != 1 {
		t.Errorf("equal shares: p = %v, want 1", p)
	}
	if p := P([]int{7500, 2500}, []float64{3, 1}); p != 1 {
		t.Errorf("shares as weighted: p = %v, want 1", p)
	}

	if p := P([]int{5300, 4700}, []float64{1, 1}); p > 1e-6 {
		t.Errorf("six standard deviations off: p = %v, want at most 1e-6", p)
	}
}
