package proxy

import (
	"sync/atomic"
	"time"
)

// verdict is what active probes say of an endpoint.
type verdict uint8

const (
	unknown verdict = iota // never asked, or asked too long ago: eligible
	healthy
	unhealthy
)

// health is what an endpoint's probes and its traffic say of it. All but the atomics is written and read under the
// service's mutex; requests see it through the snapshot.
type health struct {
	verdict   verdict
	verdictAt time.Time
	why       string // the last probe's answer, in words
	streak    int    // probes in a row that spoke against the verdict

	ejected   bool
	until     time.Time // when an ejected endpoint gets its trial
	ejections int       // in a row; each makes the next one longer
	cause     string
	since     time.Time // when the endpoint last became, or ceased to be, usable
	ramp      time.Time // start of the slow start; zero when there is none

	trial atomic.Bool // somebody's request is the trial
	tally tally
}

func (h *health) init() { h.since = time.Now() }

// fresh is the verdict unless it is so old that the platform must have stopped our clock meanwhile.
func (h *health) fresh(now time.Time, interval time.Duration) verdict {
	if h.verdict != unknown && now.Sub(h.verdictAt) > 3*interval {
		return unknown
	}
	return h.verdict
}
