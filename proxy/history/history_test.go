package history

import (
	"math"
	"sync"
	"testing"
	"time"
	"unsafe"
)

var start = time.Unix(1_800_000_000, 0)

func TestRecorder_KnowsTheLastMinute(t *testing.T) {
	t.Parallel()
	r := New(true)
	for i := range 1000 {
		r.Add(start.Add(time.Duration(i)*60*time.Millisecond), time.Duration(i+1)*time.Millisecond, i%10 == 0)
	}

	now := start.Add(60 * time.Second)
	s := r.Recent(now, start)
	if s.Requests != 1000 || s.Failures != 100 || s.ErrorShare != 0.1 || math.Abs(s.Rate-1000.0/60) > 0.01 {
		t.Errorf("got %+v", s)
	}
	for want, got := range map[float64]float64{0.5: s.P50, 0.95: s.P95, 0.99: s.P99} {
		if math.Abs(got-want)/want > 0.07 {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	if s := r.Recent(now.Add(2*time.Minute), start); s != (Recent{}) {
		t.Errorf("two minutes later: %+v", s)
	}
}

func TestRecorder_PlotsTenMinutesAndForgetsWhatIsOlder(t *testing.T) {
	t.Parallel()
	r := New(true)
	for i := range 2 * Slots {
		now := start.Add(time.Duration(i) * Slot)
		for range i + 1 {
			r.Add(now, time.Duration(i+1)*time.Millisecond, true)
		}
		r.InFlight(now, int64(i))
		r.InFlight(now, 1)
	}

	p := r.Plot(start.Add((2*Slots-1)*Slot + time.Second))
	for i := range Slots {
		n := Slots + i
		if int(p.Requests[i]) != n+1 || int(p.Failures[i]) != n+1 || int(p.InFlight[i]) != n ||
			math.Abs(p.P95[i]*1000-float64(n+1)) > 0.07*float64(n+1) {
			t.Fatalf("slot %d: %d %d %d %v", i, p.Requests[i], p.Failures[i], p.InFlight[i], p.P95[i])
		}
	}

	r.Add(start, time.Second, true) // ten minutes late: it must not clear a newer slot
	if again := r.Plot(start.Add((2*Slots-1)*Slot + time.Second)); again.Requests[Slots/2] != p.Requests[Slots/2] {
		t.Error("a late request cleared a slot")
	}
}

func TestRecorder_WithoutAnswerThereIsNoDuration(t *testing.T) {
	t.Parallel()
	r := New(true)
	r.Add(start, -1, true)
	r.Add(start, 0, false)
	r.Fail(start)
	if s := r.Recent(start.Add(time.Second), start); s.Requests != 2 || s.Failures != 2 || s.P99 != 0 ||
		s.ErrorShare != 1 {
		t.Errorf("got %+v", s)
	}
	if r.Plot(start).P95[Slots-1] != 0 {
		t.Error("a request without answer has a duration")
	}
}

func TestRecorder_NilRecordsNothing(t *testing.T) {
	t.Parallel()
	var r *Recorder
	r.Add(start, 1, true)
	r.Fail(start)
	r.InFlight(start, 1)
	if r.Plot(start) != nil || r.Recent(start, start) != (Recent{}) {
		t.Error("there is something")
	}
}

func TestBucket_EachHoldsDurationsThatDifferByAnEighth(t *testing.T) {
	t.Parallel()
	last := -1
	for us := uint64(0); us < 1<<32; us += 1 + us/50 {
		d := time.Duration(us) * time.Microsecond
		i := bucket(d)
		if i < last || i > last+1 || i >= buckets {
			t.Fatalf("%v: bucket %d after %d", d, i, last)
		}
		if last = i; math.Abs(float64(middle(i)-d)) > float64(d)/15+1 {
			t.Fatalf("%v: the middle is %v", d, middle(i))
		}
	}
	if bucket(-1) != 0 || bucket(1<<62) != buckets-1 || last < buckets-2 {
		t.Errorf("%d %d %d", bucket(-1), bucket(1<<62), last)
	}
}

// The page promises 1 MiB for fifty backends.
func TestRecorder_FiftyBackendsFitInOneMiB(t *testing.T) {
	t.Parallel()
	size := func(r *Recorder) uintptr {
		return unsafe.Sizeof(*r) + uintptr(len(r.latencies))*unsafe.Sizeof(latencies{})
	}
	if all := size(New(true)) + 50*size(New(false)); all > 1<<20 {
		t.Errorf("%d bytes", all)
	}
}

func TestRecorder_AllocatesNothing(t *testing.T) {
	r, now := New(true), start
	if n := testing.AllocsPerRun(100, func() {
		now = now.Add(Slot)
		r.Add(now, time.Millisecond, true)
		r.InFlight(now, 3)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestRecorder_CountsFromManyGoroutines(t *testing.T) {
	t.Parallel()
	r := New(false)
	r.Add(start, 1, false) // the slot is cleared
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 1000 {
				r.Add(start, time.Duration(i)*time.Microsecond, false)
				r.InFlight(start, int64(i))
			}
		})
	}
	all.Wait()
	if s := r.Recent(start, start); s.Requests != 8001 {
		t.Errorf("got %d", s.Requests)
	}
}

func BenchmarkRecorder(b *testing.B) {
	r, now := New(true), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		r.Add(now, time.Millisecond, false)
		r.InFlight(now, 3)
	}
}
