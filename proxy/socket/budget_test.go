package socket

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestBudget_RefusesWhatMattersLeastFirst(t *testing.T) {
	for _, c := range []struct {
		taken                     int64
		optional, lasting, needed bool
	}{
		{0, true, true, true},
		{49, true, true, true},
		{50, false, true, true},
		{75, false, false, true},
		{99, false, false, true},
		{100, false, false, false},
	} {
		for p, want := range map[Priority]bool{Optional: c.optional, Lasting: c.lasting, Needed: c.needed} {
			b := NewBudget(8000)
			if !b.Take(c.taken*80, Needed) {
				t.Fatalf("%d%% can't be taken", c.taken)
			}
			if got := b.Take(80, p); got != want {
				t.Errorf("with %d%% taken, priority %d: %v", c.taken, p, got)
			}
		}
	}
}

func TestBudget_RefusedTakesNothing(t *testing.T) {
	b := NewBudget(8000)
	b.Take(7000, Needed)
	if b.Take(2000, Needed) || b.Used() != 7000 {
		t.Fatalf("%d bytes taken", b.Used())
	}

	b.Give(7000)
	if b.Used() != 0 {
		t.Fatalf("%d bytes left", b.Used())
	}
}

func TestBudget_WithoutLimitBoundsNothing(t *testing.T) {
	for _, b := range []*Budget{nil, NewBudget(0)} {
		if !b.Take(1<<50, Optional) || b.Tight() || b.Short() || b.Used() != 0 || b.Limit() != 0 {
			t.Errorf("%+v", b)
		}

		b.Give(1 << 50)
		b.Observe(1 << 50)
		b.Relieve(1)
		b.Count(ClosedIdle, 1)
	}
}

func TestBudget_ShedsLoadBeforeItIsUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(8000)
		var asked []int64
		b.OnShort(func(need int64) int64 { asked = append(asked, need); return 500 })
		b.OnShort(func(need int64) int64 { asked = append(asked, -need); return need })

		b.Take(7000, Needed)
		if len(asked) != 0 {
			t.Fatalf("asked for %v too early", asked)
		}

		b.Take(1, Needed)
		if len(asked) != 2 || asked[0] != 1001 || asked[1] != -501 {
			t.Fatalf("asked for %v", asked)
		}

		// What the first round ended needs a moment to give its memory back.
		b.Take(1, Needed)
		if len(asked) != 2 {
			t.Fatalf("asked again at once: %v", asked)
		}

		time.Sleep(shedPause)
		b.Take(1, Needed)
		if len(asked) != 4 {
			t.Fatalf("not asked again: %v", asked)
		}
	})
}

// Kept memory is taken before anything ends, but it is no descriptor.
func TestBudget_TrimsBeforeItShedsAndNotForDescriptors(t *testing.T) {
	b := NewBudget(8000)
	trimmed, asked := 0, int64(0)
	b.OnTight(func() int64 { trimmed++; return 1000 })
	b.OnShort(func(need int64) int64 { asked = need; return need })

	b.Take(7001, Needed)
	if trimmed != 1 || asked != 1 {
		t.Errorf("trimmed %d times, and asked for %d", trimmed, asked)
	}

	if freed := b.Relieve(500); trimmed != 1 || asked != 500 || freed != 500 {
		t.Errorf("trimmed %d times, asked for %d, freed %d", trimmed, asked, freed)
	}
}

func TestBudget_RefusalShedsToo(t *testing.T) {
	b := NewBudget(8000)
	asked := int64(0)
	b.OnShort(func(need int64) int64 { asked = need; return need })
	if b.Take(9000, Needed) || asked != 3000 {
		t.Fatalf("asked for %d", asked)
	}
}

func TestBudget_CountsWhatTheCollectorFindsBeyondIt(t *testing.T) {
	b := NewBudget(8000)
	b.Take(1000, Needed)
	b.Observe(500)
	if b.Used() != 1000 {
		t.Errorf("less than was taken: %d", b.Used())
	}

	b.Observe(7500)
	if b.Used() != 7500 || b.Take(1000, Needed) {
		t.Errorf("more than was taken: %d", b.Used())
	}

	b.Observe(0)
	if !b.Take(1000, Needed) {
		t.Error("what was collected still counts")
	}
}

// The memory that was observed a moment ago may be free by now. When no
// connection is left that can be ended, requests are not refused because of
// that observation.
func TestBudget_AnObservationOfWhatIsGoneRefusesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(8000)
		left := int64(5000)
		b.OnShort(func(int64) int64 { freed := left; left = 0; return freed })
		b.Observe(9000)
		if b.Take(100, Needed) || b.Used() != 9000 {
			t.Fatalf("%d bytes are taken, and there is memory", b.Used())
		}

		time.Sleep(shedPause)
		b.Take(100, Needed) // finds nothing to end any more
		if !b.Take(100, Needed) {
			t.Errorf("%d bytes count as taken although nothing is left", b.Used())
		}
	})
}

func TestBudget_SaysWhatWasShedOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(8000)
		var said []ShedCounts
		b.OnShed(func(since ShedCounts) { said = append(said, since) })
		for range 1000 {
			b.Count(RefusedRequest, 1)
			time.Sleep(time.Millisecond)
		}

		time.Sleep(time.Second)
		b.Count(ClosedIdle, 3)
		if len(said) != 2 || said[0].Total() != 1 || said[1][RefusedRequest] != 999 || said[1][ClosedIdle] != 3 {
			t.Errorf("said %v", said)
		}

		if c := b.Shed(); c[RefusedRequest] != 1000 || c[ClosedIdle] != 3 {
			t.Errorf("counted %v", c)
		}
	})
}

func TestShare_CostsTheBudgetOnceWhileThereIsPlenty(t *testing.T) {
	b, s := NewBudget(8000), new(Share)
	for range 3 {
		if !s.Use(b, 100) {
			t.Fatal("refused")
		}
		s.Rest(b, 100)
	}

	if b.Used() != 100 {
		t.Fatalf("%d bytes taken", b.Used())
	}
	if !s.Trim(b, 100) || s.Trim(b, 100) || b.Used() != 0 {
		t.Fatalf("%d bytes left", b.Used())
	}
}

func TestShare_IsGivenBackWhenMemoryIsTight(t *testing.T) {
	b, s := NewBudget(8000), new(Share)
	s.Use(b, 100)
	if s.Trim(b, 100) {
		t.Fatal("taken away while it was in use")
	}

	b.Take(4000, Needed)
	s.Rest(b, 100)
	if b.Used() != 4000 {
		t.Fatalf("%d bytes taken", b.Used())
	}

	s.Rest(b, 100)
	s.Close(b, 100)
	if b.Used() != 4000 {
		t.Fatalf("given back twice: %d", b.Used())
	}
}

func TestShare_IsTakenOnceWhoeverTrims(t *testing.T) {
	b, s := NewBudget(1<<30), new(Share)
	var all sync.WaitGroup
	all.Go(func() {
		for range 10000 {
			s.Use(b, 100)
			s.Rest(b, 100)
		}
	})
	all.Go(func() {
		for range 10000 {
			s.Trim(b, 100)
		}
	})
	all.Wait()
	s.Close(b, 100)
	if b.Used() != 0 {
		t.Fatalf("%d bytes left", b.Used())
	}
}

func TestAccount_TakesInBlocksAndGivesEverythingBack(t *testing.T) {
	b := NewBudget(1 << 20)
	a := NewAccount(b)
	for range 100 {
		if !a.Take(100, Needed) {
			t.Fatal("refused")
		}
	}

	if a.Used() != 10000 || b.Used() != accountBlock {
		t.Fatalf("%d used, %d taken", a.Used(), b.Used())
	}

	a.Take(5*accountBlock, Needed)
	a.Give(5 * accountBlock)
	if b.Used() > 2*accountBlock {
		t.Fatalf("%d bytes kept", b.Used())
	}

	a.Close()
	a.Close()
	if a.Give(10000); b.Used() != 0 || a.Take(1, Needed) {
		t.Fatalf("%d bytes left", b.Used())
	}
}

func TestAccount_RefusedTakesNothing(t *testing.T) {
	b := NewBudget(8 * accountBlock)
	a := NewAccount(b)
	if a.Take(5*accountBlock, Optional) || a.Used() != 0 || b.Used() != 0 {
		t.Fatalf("%d used, %d taken", a.Used(), b.Used())
	}
}

func BenchmarkShare(b *testing.B) {
	budget := NewBudget(1 << 30)
	b.RunParallel(func(pb *testing.PB) {
		s := new(Share)
		for pb.Next() {
			s.Use(budget, 100)
			s.Rest(budget, 100)
		}
	})
}

// Whoever sheds load looks at the accounts of all connections, that of the one
// for which load is shed among them.
func TestAccount_MayBeLookedAtWhileItTakes(t *testing.T) {
	t.Parallel()
	b := NewBudget(1 << 20)
	a := NewAccount(b)
	asked := int64(-1)
	b.OnShort(func(int64) int64 {
		asked = a.Used()
		return 0
	})
	a.Take(800<<10, Needed)
	a.Take(200<<10, Needed)
	if asked != 800<<10 {
		t.Errorf("%d bytes were seen", asked)
	}
}
