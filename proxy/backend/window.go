package backend

import (
	"sync/atomic"
	"time"
)

// windowSeconds is how many seconds a window covers. Each second has its own
// slot, which is cleared before it is used again.
const windowSeconds = 10

// windowKinds is the number of kinds of events in a window.
const windowKinds = 4

// window counts events of a few kinds over the last ten seconds. The retry
// budget counts requests and retries with it, and ejection counts outcomes.
//
// The zero value is empty and ready for use. It is safe for concurrent use and
// takes no lock: requests write it with atomics only. Two goroutines that clear
// a slot together may lose a count, which is acceptable.
type window struct {
	slots [windowSeconds]windowSlot
}

type windowSlot struct {
	second atomic.Int64 // of the Unix time
	counts [windowKinds]atomic.Int64
}

// windowCounts are the events of each kind.
type windowCounts [windowKinds]int64

// add counts one event.
func (w *window) add(kind int, now time.Time) {
	second := now.Unix()
	slot := &w.slots[second%windowSeconds]

	if old := slot.second.Load(); old != second && slot.second.CompareAndSwap(old, second) {
		slot.clear()
	}

	slot.counts[kind].Add(1)
}

// remove undoes an add at the given time, unless the slot is in use for another
// second by now.
func (w *window) remove(kind int, added time.Time) {
	slot := &w.slots[added.Unix()%windowSeconds]

	if slot.second.Load() == added.Unix() {
		slot.counts[kind].Add(-1)
	}
}

// sum returns the counts of the last seconds. The current second is one of
// them, so the time covered may be almost a second shorter.
func (w *window) sum(now time.Time, seconds int64) (total windowCounts) {
	for i := range w.slots {
		slot := &w.slots[i]
		if now.Unix()-slot.second.Load() >= seconds {
			continue
		}
		for kind := range slot.counts {
			total[kind] += slot.counts[kind].Load()
		}
	}

	return total
}

// reset removes all counts.
func (w *window) reset() {
	for i := range w.slots {
		w.slots[i].clear()
	}
}

func (s *windowSlot) clear() {
	for kind := range s.counts {
		s.counts[kind].Store(0)
	}
}
