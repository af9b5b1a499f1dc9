package backend

import (
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/config"
)

// verdict is the result of the probes of an endpoint.
type verdict uint8

const (
	unknown verdict = iota // never probed, or too long ago: eligible
	healthy
	unhealthy
)

// health is what probes and traffic show about an endpoint. Fields that are not
// atomic are guarded by the service's mutex; requests see them through the
// snapshot.
type health struct {
	verdict   verdict
	verdictAt time.Time // of the last probe
	passed    bool      // the last probe did pass
	why       string    // the result of the last probe, in words
	streak    int       // probes in a row against the verdict
	failedAt  time.Time // of the last probe that failed

	ejected   atomic.Bool // written under the mutex
	until     time.Time   // when an ejected endpoint gets its trial
	ejections int         // in a row; each one is longer
	shortened bool        // until was brought forward, because no endpoint in use was better
	fault     fault       // why it is ejected
	// When it was last logged that the endpoint should be ejected and may not
	// be.
	keptLoggedAt time.Time

	since time.Time // when the endpoint last became usable, or stopped being so
	// When the endpoint was last ejected or readmitted, in Unix nanoseconds.
	// Attempts that began earlier don't count.
	lastChange  atomic.Int64
	slowStartAt time.Time // zero if there is no slow start

	trial atomic.Bool // a request has the trial

	// What traffic has shown since the endpoint was last readmitted.
	window        window       // outcomes by result
	failuresInRow atomic.Int64 // see streaks
	brokenInRow   atomic.Int64
	clients       recentClients // those that met server errors
}

func (h *health) init() { h.since = time.Now() }

// count counts an outcome. A success that ends streaks keeps them in the
// outcome, for undo.
func (h *health) count(o *Outcome) {
	h.window.add(int(o.Result), o.Ended)
	switch o.Result {
	case Succeeded:
		o.interrupted = streaks{}
		if h.failuresInRow.Load() != 0 {
			o.interrupted = streaks{h.failuresInRow.Swap(0), h.brokenInRow.Swap(0)}
		}
	case Broken:
		h.brokenInRow.Add(1)
		h.failuresInRow.Add(1)
	case FailedStatus:
		h.failuresInRow.Add(1)
	case ServerError:
		h.clients.note(o.Client, o.Ended)
	}
}

// streakLife is how long a success can be undone together with the end of a
// streak. After that, other successes have come in between.
const streakLife = 2 * time.Second

// undo takes back an outcome that was counted at the response head.
func (h *health) undo(o *Outcome, now time.Time) {
	h.window.remove(int(o.Result), o.Ended)
	switch {
	case o.Result == FailedStatus:
		h.failuresInRow.Add(-1)
	case now.Sub(o.Ended) < streakLife:
		h.failuresInRow.Add(o.interrupted.failures)
		h.brokenInRow.Add(o.interrupted.broken)
	}
}

// reset drops what traffic has shown. A readmitted endpoint starts from zero.
func (h *health) reset() {
	h.failuresInRow.Store(0)
	h.brokenInRow.Store(0)
	h.window.reset()
	h.clients.reset()
}

// verdictLife returns how long a verdict is valid without another probe: three
// intervals, or three times the limit of a probe if that is longer.
func verdictLife(cfg config.Health) time.Duration { return 3 * max(cfg.Interval, cfg.Timeout) }

// fresh returns the verdict, or unknown if there was no probe for longer than
// life. Then the platform has probably stopped the CPU.
func (h *health) fresh(now time.Time, life time.Duration) verdict {
	if h.verdict != unknown && now.Sub(h.verdictAt) > life {
		return unknown
	}
	return h.verdict
}

// addProbe notes the result of a probe. It reports whether the verdict has
// changed, and whether it is about to change. Without a fresh verdict the first
// probe decides.
func (h *health) addProbe(
	ok bool, why string, now time.Time, cfg config.Health,
) (changed, changing bool) {
	before := h.fresh(now, verdictLife(cfg))
	h.passed, h.why, h.verdictAt = ok, why, now
	says, needed := healthy, cfg.Healthy
	if !ok {
		says, needed, h.failedAt = unhealthy, cfg.Unhealthy, now
	}

	if before == says {
		h.streak = 0
		return false, false
	}

	if h.streak++; before != unknown && h.streak < needed {
		return false, true
	}

	changed = h.verdict != says // confirming a stale verdict is no change
	h.verdict, h.streak = says, 0
	return changed, false
}

// judge notes the result of a probe and acts on a new verdict. It reports
// whether the verdict is about to change.
func (s *Service) judge(ep *Endpoint, ok bool, why string, began, now time.Time) (changing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.endpoints[ep.Name] != ep {
		return false
	}

	h := &ep.health
	stale := h.fresh(now, verdictLife(s.cfg.Health)) != h.verdict
	changed, changing := h.addProbe(ok, why, now, s.cfg.Health)
	if changed {
		h.since = now
		s.logVerdict(ep)
	}

	if changed || stale {
		s.rebuild(now)
	}
	if h.verdict == healthy && h.ejected.Load() && h.probesShowRecovery(now) {
		s.readmitLocked(ep, "probes pass: "+why, began, now)
	}

	return changing
}

// probesShowRecovery reports whether probes may end an ejection. Either they
// failed during the ejection and pass now, or the ejection time is over and the
// probe takes the place of a trial request. Probes that passed all the time
// don't see the cause of the ejection.
func (h *health) probesShowRecovery(now time.Time) bool {
	return !now.Before(h.until) ||
		!h.failedAt.IsZero() && h.failedAt.UnixNano() >= h.lastChange.Load()
}

// logVerdict logs a new verdict.
func (s *Service) logVerdict(ep *Endpoint) {
	if ep.health.verdict == unhealthy {
		s.log.Warn("backend unhealthy", "backend", ep.Name, "reason", ep.health.why)
	} else {
		s.log.Info("backend healthy", "backend", ep.Name, "reason", ep.health.why)
	}
}
