package backend

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Outlier ejection takes an endpoint out of use that fails the requests it
// gets.
//
//  1. Failures are connection errors, broken answers, timeouts, and the
//     statuses of LB_EJECT_STATUS. LB_EJECT_ERRORS failures in a row lead to an
//     ejection.
//  2. A low success rate leads to an ejection too, if it is much lower than
//     that of the other endpoints. It is taken over a short and a long window,
//     so that the successes of a busy minute don't hide what happens now.
//  3. Other statuses from 500 on count only in the success rate. In role
//     ingress they count only if several clients met them, because one client
//     may use a URL that always fails.
//  4. Ejections by status leave a share of the endpoints in use
//     (LB_EJECT_MAX). Ejections for connection errors and broken answers have
//     no such limit. The last eligible endpoint is never ejected.
//  5. One good answer ends an ejection, if its request began after the
//     ejection. It may be the trial request, which follows the ejection time,
//     or a request that had no other endpoint to go to. Probes can end an
//     ejection as well.
//
// These are not failures: a client that left, status 429, and Pillion's own
// lack of descriptors, memory or ports.

const (
	// longestEjection is the upper limit of the ejection time.
	longestEjection = 300 * time.Second
	// nearTrial is the longest wait for a trial while no endpoint in use is any
	// better, or after a trial that decided nothing.
	nearTrial = time.Second
)

// minSamples and minMargin keep chance out of success rates: an ejection needs
// at least so many outcomes, and a rate that is worse than the others' by so
// much.
const (
	minSamples = 20
	minMargin  = 0.20
)

// rateWindows are the numbers of seconds over which success rates are taken.
var rateWindows = [...]int64{2, windowSeconds}

// Change is what an outcome changed about its endpoint. It is the name of an
// event in spans.
type Change string

const (
	Unchanged   Change = ""
	Ejection    Change = "ejected"
	Readmission Change = "readmitted"
)

// fault is why an endpoint should be ejected. The zero value is no fault.
type fault struct {
	kind   Result // the mildest kind of failure that has to count for it
	reason string
}

// byStatus reports whether the fault depends on failures by status.
func (f fault) byStatus() bool { return f.kind == FailedStatus || f.kind == ServerError }

// streaks count the failures since the last success.
type streaks struct {
	failures int64 // all failures of rule 1
	broken   int64 // those of them that were not a status
}

// report counts the outcome of an attempt and returns what that changed, which
// is nothing most of the time. An attempt that began before the endpoint was
// last ejected or readmitted says nothing about the time since, so it does not
// count.
func (s *Service) report(ep *Endpoint, o *Outcome) Change {
	h := &ep.health
	if o.Result != Succeeded {
		ep.failures.Add(1)
	}
	if o.Began.UnixNano() < h.lastChange.Load() {
		return Unchanged
	}

	h.count(o)
	switch {
	case h.ejected.Load():
		return s.judgeTrial(ep, o)
	case o.Result != Succeeded && s.mayDeserveEjection(h, o.Ended):
		return s.eject(ep, o)
	}

	return Unchanged
}

// reportCut counts the outcome of an attempt whose answer broke after its head
// was reported. The earlier report is undone first, because a broken answer is
// one failure and no success.
func (s *Service) reportCut(ep *Endpoint, head *Outcome, o *Outcome) Change {
	ep.history.Fail(o.Ended)
	ep.lastFailure.Store(&failure{o.Ended, "the answer was cut"})
	if !head.Ended.IsZero() && head.Began.UnixNano() >= ep.health.lastChange.Load() {
		ep.health.undo(head, o.Ended)
	}
	return s.report(ep, o)
}

// mayDeserveEjection reports whether an endpoint may have to be ejected, by a
// cheap check. It looks at no other endpoint and takes no lock of the service.
func (s *Service) mayDeserveEjection(h *health, now time.Time) bool {
	if s.inARow(h.failuresInRow.Load()) {
		return true
	}

	for _, seconds := range rateWindows {
		counts := h.window.sum(now, seconds)
		for _, kind := range s.countedKinds(h, now, seconds) {
			if s.lowRate(sampleOf(counts, kind)) {
				return true
			}
		}
	}

	return false
}

// eject takes the endpoint out of use if its outcomes call for that and the
// limits allow it.
func (s *Service) eject(ep *Endpoint, o *Outcome) Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &ep.health
	if s.endpoints[ep.Name] != ep || h.ejected.Load() || o.Began.UnixNano() < h.lastChange.Load() {
		return Unchanged
	}

	faults := s.faults(ep, o.Ended)
	for _, f := range faults {
		if s.mayLeaveOut(ep, f) {
			f.reason += ep.lastText()
			return s.ejectLocked(ep, f, o.Ended)
		}
	}

	if len(faults) > 0 {
		// The endpoints in use are as bad as the ejected ones, which may have
		// recovered.
		s.shortenEjections(o.Ended)
		s.logKept(ep, faults[0], o.Ended)
	}

	return Unchanged
}

// ejectLocked ejects an endpoint, or prolongs its ejection. The caller holds
// the mutex.
func (s *Service) ejectLocked(ep *Endpoint, f fault, now time.Time) Change {
	h := &ep.health
	pause := h.ejectFor(s.cfg.Eject.Time, now)
	h.fault, h.until, h.since = f, now.Add(pause), now
	h.shortened, h.keptLoggedAt = false, time.Time{}
	h.clients.reset() // the next trial counts its own clients
	h.ejected.Store(true)
	h.lastChange.Store(now.UnixNano())

	s.log.Warn("backend ejected",
		"backend", ep.Name, "reason", f.reason, "seconds", tenths(pause), "times", h.ejections)
	s.rebuild(now)

	// This time is later than the store of the snapshot. An attempt that began
	// before may still have used the old one.
	h.lastChange.Store(time.Now().UnixNano())
	return Ejection
}

// tenths returns a time in seconds, rounded to tenths.
func tenths(d time.Duration) float64 { return d.Round(time.Second / 10).Seconds() }

// faults returns the reasons to eject the endpoint. Those that LB_EJECT_MAX
// does not limit come first.
func (s *Service) faults(ep *Endpoint, now time.Time) (list []fault) {
	h := &ep.health
	if n := h.brokenInRow.Load(); s.inARow(n) {
		list = append(list, fault{Broken, fmt.Sprintf("%d failures in a row", n)})
	}

	var rates []fault
	for _, seconds := range rateWindows {
		rates = append(rates, s.rateFaults(ep, now, seconds)...)
	}

	for _, f := range rates {
		if !f.byStatus() {
			list = append(list, f)
		}
	}

	if n := h.failuresInRow.Load(); s.inARow(n) {
		list = append(list, fault{FailedStatus, fmt.Sprintf("%d failures in a row", n)})
	}

	for _, f := range rates {
		if f.byStatus() {
			list = append(list, f)
		}
	}

	return list
}

func (s *Service) inARow(n int64) bool {
	return s.cfg.Eject.Errors > 0 && n >= int64(s.cfg.Eject.Errors)
}

// rateFaults returns the success rates that are low, and much lower than those
// of the other endpoints. If all are equally bad, the cause is elsewhere.
func (s *Service) rateFaults(ep *Endpoint, now time.Time, seconds int64) (list []fault) {
	counts := ep.health.window.sum(now, seconds)
	others := s.countsOfOthers(ep, now, seconds)

	for _, kind := range s.countedKinds(&ep.health, now, seconds) {
		own := sampleOf(counts, kind)
		if s.lowRate(own) && own.rate()+minMargin <= sampleOf(others, kind).rate() {
			list = append(
				list,
				fault{kind, fmt.Sprintf("%.0f%% of %d requests succeeded in the last %d s",
					100*own.rate(), own.total, seconds)},
			)
		}
	}

	return list
}

// countsOfOthers adds up the windows of the other endpoints in use.
func (s *Service) countsOfOthers(ep *Endpoint, now time.Time, seconds int64) (total windowCounts) {
	for _, other := range s.endpoints {
		if other == ep || other.health.ejected.Load() {
			continue
		}
		for kind, n := range other.health.window.sum(now, seconds) {
			total[kind] += n
		}
	}

	return total
}

// countedKinds returns the kinds of failures that may lower the endpoint's
// success rate, the gravest first.
func (s *Service) countedKinds(h *health, now time.Time, seconds int64) []Result {
	if s.untrustedClients && !h.clients.enough(now, seconds) {
		return failureKinds[:2]
	}
	return failureKinds[:]
}

var failureKinds = [...]Result{Broken, FailedStatus, ServerError}

// sample is what a success rate is computed from.
type sample struct{ good, total int64 }

// sampleOf returns the sample in which failures of a kind, and of graver kinds,
// count.
//
// If only broken answers count, a status of LB_EJECT_STATUS is a success,
// because it shows that the endpoint can be reached. Other server errors are
// left out unless they count: a client that causes them must neither eject an
// endpoint nor hide that it fails.
func sampleOf(c windowCounts, kind Result) sample {
	sm := sample{good: c[Succeeded], total: c[Succeeded] + c[Broken] + c[FailedStatus]}
	switch kind {
	case Broken:
		sm.good += c[FailedStatus]
	case ServerError:
		sm.total += c[ServerError]
	}

	return sm
}

// rate returns the share of successes. Without any outcome it is 1.
func (sm sample) rate() float64 {
	if sm.total == 0 {
		return 1
	}
	return float64(sm.good) / float64(sm.total)
}

// lowRate reports whether a success rate is below LB_EJECT_RATE.
func (s *Service) lowRate(sm sample) bool {
	return s.cfg.Eject.Rate > 0 && sm.total >= minSamples && sm.rate() < s.cfg.Eject.Rate
}

// mayLeaveOut reports whether the endpoint may be taken out of use. At least
// one other endpoint must stay in use. LB_EJECT_MAX limits the ejections by
// status, but one of them is always allowed, or a small service would have
// none. The caller holds the mutex.
func (s *Service) mayLeaveOut(ep *Endpoint, f fault) bool {
	left, total, ejectedByStatus := 0, 0, 0
	for _, e := range s.snapshot.Load().entries {
		if e.weight == 0 {
			continue
		}

		total++
		h := &e.ep.health
		switch {
		case e.ep == ep:
		case h.ejected.Load():
			if h.fault.byStatus() {
				ejectedByStatus++
			}
		case e.usable:
			left++
		}
	}

	switch {
	case left == 0:
		return ep.health.ejected.Load()
	case !f.byStatus():
		return true
	case ejectedByStatus == 0 && s.cfg.Eject.Max > 0:
		return true
	}

	const rounding = 1e-9
	return float64(total-left) <= s.cfg.Eject.Max*float64(total)+rounding
}

// shortenEjections brings the trials of all ejected endpoints forward. The
// caller holds the mutex.
func (s *Service) shortenEjections(now time.Time) {
	changed := false
	for _, ep := range s.endpoints {
		if h := &ep.health; h.ejected.Load() && h.until.After(now.Add(nearTrial)) {
			h.until, h.shortened, changed = now.Add(nearTrial), true, true
		}
	}

	if changed {
		s.rebuild(now)
	}
}

// logKept logs that an endpoint should be ejected and stays in use, once per
// LB_EJECT_TIME. The caller holds the mutex.
func (s *Service) logKept(ep *Endpoint, f fault, now time.Time) {
	h := &ep.health
	if !h.keptLoggedAt.IsZero() && now.Sub(h.keptLoggedAt) < s.cfg.Eject.Time {
		return
	}
	h.keptLoggedAt = now
	s.log.Warn("backend fails but stays in use, too few others are left",
		"backend", ep.Name, "reason", f.reason)
}

// ejectFor counts an ejection and returns how long it lasts: n times the base
// time, less some jitter, so that several balancers don't try the endpoint at
// the same moment.
//
// n grows with each ejection and shrinks with each base time without one. A
// trial that was changed forward does not make n grow.
func (h *health) ejectFor(base time.Duration, now time.Time) time.Duration {
	if !h.ejected.Load() && h.ejections > 0 && base > 0 {
		quiet := now.Sub(time.Unix(0, h.lastChange.Load())) / base
		h.ejections -= int(min(quiet, time.Duration(h.ejections)))
	}

	if !h.shortened {
		h.ejections++
	}

	pause := longestEjection
	if base < longestEjection/time.Duration(h.ejections) {
		pause = base * time.Duration(h.ejections)
	}

	return pause - time.Duration(rand.Int64N(int64(pause)/10+1))
}
