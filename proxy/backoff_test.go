package proxy

import (
	"testing"
	"time"
)

func TestBudget_Backoff(t *testing.T) {
	t.Parallel()
	var most time.Duration
	for range 1000 {
		d := backoff()
		if most = max(most, d); d < 0 || d >= 25*time.Millisecond {
			t.Fatal(d)
		}
	}

	if most < 20*time.Millisecond {
		t.Error(most)
	}
}
