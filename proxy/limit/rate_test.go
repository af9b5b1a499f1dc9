package limit

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/config"
)

// limitOf makes a limit as LB_RATE_LIMIT writes it.
func limitOf(t testing.TB, text string) *Limit {
	t.Helper()
	var list config.RateLimits
	if err := list.EnvDecode(text); err != nil {
		t.Fatal(err)
	}

	return New("", &list[0], 65_536, nil)
}

// began is a time of day for tests in virtual time.
var began = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func TestRate_NoWindowHoldsMoreThanBurstAndRate(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"10/s", "7/s?burst=3", "1000/m?burst=1", "3/h?burst=2", "700000/s?burst=5"} {
		l := limitOf(t, text)
		k, random := TextKey(config.ByHost, "a"), rand.New(rand.NewPCG(1, 2))
		var passed []time.Time
		for now, n := began, 0; n < 3000; n++ {
			// Now and then a pause, in which the burst comes back.
			now = now.Add(time.Duration(random.Int64N(l.rate.emission)))
			if random.IntN(50) == 0 {
				now = now.Add(time.Duration(random.Int64N(2 * l.rate.window)))
			}
			if l.Take(k, now, new(Wait)) == 0 {
				passed = append(passed, now)
			}
		}

		burst := float64(l.rate.window) / float64(l.rate.emission)
		for i := range passed {
			for j := i; j < min(len(passed), i+200); j++ {
				most := burst + float64(passed[j].Sub(passed[i]))/float64(l.rate.emission)
				if float64(j-i+1) > most+1e-6 {
					t.Fatalf("%s: %d requests in %v, at most %f", text, j-i+1, passed[j].Sub(passed[i]), most)
				}
			}
		}
	}
}

func TestRate_SteadyUseOfTheWholeRateIsNeverRefused(t *testing.T) {
	t.Parallel()
	l := limitOf(t, "10/s?burst=1")
	for i := range 1000 {
		if early := l.Take(ClientKey(addr("192.0.2.1")), began.Add(time.Duration(i)*100*time.Millisecond),
			new(Wait)); early != 0 {
			t.Fatalf("request %d is %v too early", i, early)
		}
	}
}

func TestRate_ARefusalSaysWhenTheNextRequestPasses(t *testing.T) {
	t.Parallel()
	l, k := limitOf(t, "5/m"), ClientKey(addr("192.0.2.1"))
	for range 5 {
		if l.Take(k, began, new(Wait)) != 0 {
			t.Fatal("the burst is refused")
		}
	}
	early := l.Take(k, began, new(Wait))
	if early != 12*time.Second {
		t.Errorf("early by %v", early)
	}
	for range 100 { // a refused request costs nothing
		l.Take(k, began.Add(early-1), new(Wait))
	}
	if again := l.Take(k, began.Add(early-1), new(Wait)); again != 1 {
		t.Errorf("a nanosecond before, early by %v", again)
	}
	if again := l.Take(k, began.Add(early), new(Wait)); again != 0 {
		t.Errorf("then early by %v", again)
	}
	if got, want := l.Counts(), (Counts{Allowed: 6, Refused: 102}); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

func TestRate_AClockThatWasSetBackStartsAfresh(t *testing.T) {
	t.Parallel()
	l, k := limitOf(t, "2/m"), ClientKey(addr("192.0.2.1"))
	for range 3 {
		l.Take(k, began, new(Wait))
	}
	for back, passes := range map[time.Duration]bool{
		0: false, time.Second: false, time.Minute: false, // within the window nobody is freed
		2*time.Minute + time.Second: true, 365 * 24 * time.Hour: true,
	} {
		l := limitOf(t, "2/m")
		for range 3 {
			l.Take(k, began, new(Wait))
		}
		if got := l.Take(k, began.Add(-back), new(Wait)) == 0; got != passes {
			t.Errorf("back by %v: passes %v", back, got)
		}
	}
}

// Requests read the clock and then come here in any order.
func TestRate_ClocksThatWereReadInAnotherOrderFreeNobody(t *testing.T) {
	t.Parallel()
	l, k := limitOf(t, "1000/s?burst=1"), ClientKey(addr("192.0.2.1"))
	passed := 0
	for i := range 200 {
		if l.Take(k, began.Add(-time.Duration(i)*time.Millisecond), new(Wait)) == 0 {
			passed++
		}
	}
	if passed != 1 {
		t.Errorf("%d requests passed in one millisecond", passed)
	}
}

func TestRate_TheLongestTimesDoNotOverflow(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"1/720h?burst=12", "1/1ms?burst=31000000000", "1000000/s?burst=1000000000"} {
		l, k := limitOf(t, text), EveryoneKey()
		for _, now := range []time.Time{began, time.Unix(0, 1), time.Unix(0, math.MaxInt64/2)} {
			if l.Take(k, now, new(Wait)) != 0 {
				t.Errorf("%s: refused at %v", text, now)
			}
		}
	}
}

func TestLimit_DryCountsAndRefusesNothing(t *testing.T) {
	t.Parallel()
	l := limitOf(t, "1/m?dry=true")
	for range 3 {
		if early := l.Take(EveryoneKey(), began, new(Wait)); early != 0 {
			t.Errorf("early by %v", early)
		}
	}
	if got, want := l.Counts(), (Counts{Allowed: 1, WouldRefuse: 2}); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}
