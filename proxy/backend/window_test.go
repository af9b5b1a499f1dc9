package backend

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestWindow_SumsSoManySeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var w window
		for second := range 25 {
			for range 3 {
				w.add(int(Succeeded), time.Now())
			}

			w.add(int(Broken), time.Now())

			for _, seconds := range []int64{2, windowSeconds} {
				want := min(int64(second+1), seconds)
				if got := w.sum(time.Now(), seconds); got != (windowCounts{3 * want, want}) {
					t.Fatalf("in second %d, over %d s: %v", second, seconds, got)
				}
			}

			time.Sleep(time.Second)
		}

		time.Sleep(time.Minute)
		if got := w.sum(time.Now(), windowSeconds); got != (windowCounts{}) {
			t.Errorf("a minute later: %v", got)
		}
	})
}

func TestWindow_TakesBackWhatItStillHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var w window
		added := time.Now()
		w.add(int(Succeeded), added)
		time.Sleep(9 * time.Second)
		w.remove(int(Succeeded), added)
		if got := w.sum(time.Now(), windowSeconds); got != (windowCounts{}) {
			t.Errorf("after 9 s: %v", got)
		}

		time.Sleep(time.Second)
		w.add(int(Succeeded), time.Now()) // in the slot of the first
		w.remove(int(Succeeded), added)
		if got := w.sum(time.Now(), windowSeconds); got != (windowCounts{1}) {
			t.Errorf("after 10 s: %v", got)
		}
	})
}

func TestWindow_ResetForgets(t *testing.T) {
	t.Parallel()
	var w window
	w.add(int(Broken), time.Now())
	w.reset()
	if got := w.sum(time.Now(), windowSeconds); got != (windowCounts{}) {
		t.Error(got)
	}
}
