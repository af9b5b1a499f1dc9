package history

import "time"

// Recent summarises the last minute. It covers up to ten seconds more, because
// the current slot is not full.
type Recent struct {
	Requests   uint64  `json:"requests"`
	Failures   uint64  `json:"failures"`
	Rate       float64 `json:"rate"`       // requests per second
	ErrorShare float64 `json:"errorShare"` // of the requests, 0 to 1

	// Seconds; 0 without an answer.
	P50 float64 `json:"p50Seconds"`
	P95 float64 `json:"p95Seconds"`
	P99 float64 `json:"p99Seconds"`
}

// Plot has a value for each slot, the oldest first and the current one last.
type Plot struct {
	Requests [Slots]uint32 `json:"requests"`
	Failures [Slots]uint32 `json:"failures"`
	InFlight [Slots]int32  `json:"inFlight"` // the most at the end of a request
	// 0 without an answer; nil for a Recorder without plots
	P95 []float64 `json:"p95Seconds,omitempty"`
}

// Recent returns what happened in the last minute. since is when the process
// began: a rate is not taken over time before.
func (r *Recorder) Recent(now, since time.Time) (s Recent) {
	if r == nil {
		return s
	}

	var sum histogram
	for n := number(now) - recent + 1; n <= number(now); n++ {
		if c := &r.counts[n%Slots]; c.slot.Load() == n {
			s.Requests += uint64(c.requests.Load())
			s.Failures += uint64(c.failures.Load())
		}
		sum.add(r.slot(n))
	}

	begun := time.Unix((number(now)-recent+1)*int64(Slot/time.Second), 0)
	if since.After(begun) {
		begun = since
	}
	s.Rate = float64(s.Requests) / max(1, now.Sub(begun).Seconds())
	if s.Requests > 0 {
		s.ErrorShare = min(1, float64(s.Failures)/float64(s.Requests))
	}
	s.P50, s.P95, s.P99 = sum.quantile(0.50), sum.quantile(0.95), sum.quantile(0.99)

	return s
}

// Plot returns the last ten minutes, nil for a nil Recorder.
func (r *Recorder) Plot(now time.Time) *Plot {
	if r == nil {
		return nil
	}

	p := &Plot{}
	if len(r.latencies) == Slots {
		p.P95 = make([]float64, Slots)
	}

	for i := range Slots {
		n := number(now) - Slots + 1 + int64(i)
		if c := &r.counts[n%Slots]; c.slot.Load() == n {
			p.Requests[i], p.Failures[i], p.InFlight[i] = c.requests.Load(), c.failures.Load(), c.peak.Load()
		}

		if l := r.slot(n); l != nil && p.P95 != nil {
			var h histogram
			h.add(l)
			p.P95[i] = h.quantile(0.95)
		}
	}

	return p
}

// slot returns the latencies of a slot, nil if they are not known any more.
func (r *Recorder) slot(n int64) *latencies {
	if l := &r.latencies[n%int64(len(r.latencies))]; l.slot.Load() == n {
		return l
	}

	return nil
}

// histogram adds up the latencies of several slots.
type histogram struct {
	counts [buckets]uint64
	total  uint64
}

func (h *histogram) add(l *latencies) {
	if l == nil {
		return
	}

	for i := range l.buckets {
		n := uint64(l.buckets[i].Load())
		h.counts[i] += n
		h.total += n
	}
}

// quantile returns the duration in seconds that a share of the requests did not
// exceed, 0 without requests.
func (h *histogram) quantile(share float64) float64 {
	left := share * float64(h.total)
	for i, n := range h.counts {
		if left -= float64(n); n > 0 && left <= 0 {
			return middle(i).Seconds()
		}
	}

	return 0
}
