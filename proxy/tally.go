package proxy

import (
	"sync/atomic"
	"time"
)

// slots of one second each make the ten seconds that count towards the success rate. A slot is started anew when the
// clock has come round to it.
const slots = 10

// tally counts an endpoint's outcomes: failures in a row, and successes and failures of the last ten seconds. Requests
// write it with atomics only; a count lost where two of them renew a slot at once is of no account.
type tally struct {
	row  atomic.Int64 // consecutive failures
	slot [slots]struct {
		second atomic.Int64
		good   atomic.Int64
		bad    atomic.Int64
	}
}

// add counts one outcome and returns how many failures there were in a row.
func (t *tally) add(ok bool, now time.Time) int64 {
	second := now.Unix()
	s := &t.slot[second%slots]
	if old := s.second.Load(); old != second && s.second.CompareAndSwap(old, second) {
		s.good.Store(0)
		s.bad.Store(0)
	}
	if ok {
		s.good.Add(1)
		if t.row.Load() != 0 {
			t.row.Store(0)
		}
		return 0
	}
	s.bad.Add(1)
	return t.row.Add(1)
}

// sum is what the window holds.
func (t *tally) sum(now time.Time) (good, bad int64) {
	for i := range t.slot {
		s := &t.slot[i]
		if now.Unix()-s.second.Load() < slots {
			good += s.good.Load()
			bad += s.bad.Load()
		}
	}
	return good, bad
}

// reset forgets everything: an endpoint that is readmitted starts with a clean record.
func (t *tally) reset() {
	t.row.Store(0)
	for i := range t.slot {
		t.slot[i].good.Store(0)
		t.slot[i].bad.Store(0)
	}
}
