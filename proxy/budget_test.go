package proxy

import (
	"testing"
	"testing/synctest"
	"time"
)

// takeAll spends what the budget allows now and returns how much that is.
func takeAll(b *budget) (n int) {
	for b.take(time.Now()) && n < 1e6 {
		n++
	}
	return n
}

func TestBudget_ShareOfRequestsPlusTenASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := budget{share: 0.2}
		if n := takeAll(&b); n != 100 {
			t.Errorf("without requests %d in ten seconds", n)
		}
		for range 1000 {
			b.attempt(false, time.Now())
			b.attempt(true, time.Now()) // a repeat earns nothing
		}
		if n := takeAll(&b); n != 200 {
			t.Errorf("for 1000 requests %d more", n)
		}
		time.Sleep(9 * time.Second)
		if n := takeAll(&b); n != 0 {
			t.Errorf("nine seconds later %d", n)
		}
		time.Sleep(time.Second)
		if n := takeAll(&b); n != 100 {
			t.Errorf("when all is ten seconds old %d", n)
		}
	})
}

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

func TestTally_WindowIsTenSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var y tally
		for second := range 25 {
			for range 3 {
				y.add(true, time.Now())
			}
			y.add(false, time.Now())
			good, bad := y.sum(time.Now())
			if want := int64(min(second+1, 10)); good != 3*want || bad != want {
				t.Fatalf("in second %d: %d, %d", second, good, bad)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		if good, bad := y.sum(time.Now()); good+bad != 0 {
			t.Error(good, bad)
		}
	})
}

func TestTally_RowEndsWithASuccess(t *testing.T) {
	t.Parallel()
	var y tally
	now := time.Now()
	for want := range int64(7) {
		if got := y.add(false, now); got != want+1 {
			t.Error(got)
		}
	}
	y.add(true, now)
	if got := y.add(false, now); got != 1 {
		t.Error(got)
	}
	y.reset()
	if good, bad := y.sum(now); good+bad != 0 || y.row.Load() != 0 {
		t.Error("not forgotten")
	}
}
