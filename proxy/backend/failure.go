package backend

import (
	"fmt"
	"strconv"
	"time"

	"github.com/pillion-lb/pillion/proxy/history"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// failure is the last attempt at an endpoint that failed.
type failure struct {
	at   time.Time
	text string
}

// longestFailure bounds the text of a failure.
const longestFailure = 200

// quietFor is how long an endpoint must not have failed before a failure is
// logged. Retries hide failures from clients, so without this line nothing
// would tell of them before an ejection.
const quietFor = 10 * time.Second

// lastText returns the last failure as an addition to a reason.
func (ep *Endpoint) lastText() string {
	f := ep.lastFailure.Load()
	if f == nil {
		return ""
	}

	return ", last: " + f.text
}

// noteFailure remembers an attempt that got no answer. What the client caused,
// or a lack of Pillion's own, is no failure of the endpoint.
func (s *Service) noteFailure(ep *Endpoint, e *wire.Error) {
	if e.Client != wire.NoFault || e.Shortage() {
		ep.history.Add(time.Now(), -1, false)
		return
	}

	now, text := time.Now(), e.Cause()
	text = text[:min(len(text), longestFailure)]
	ep.history.Add(now, -1, true)
	before := ep.lastFailure.Swap(&failure{now, text})
	if before == nil || now.Sub(before.at) > quietFor {
		s.log.Info("backend failed a request", "backend", ep.Name, "error", text)
	}
}

// noteAnswer remembers an answer.
func (s *Service) noteAnswer(ep *Endpoint, status int, began, now time.Time) {
	failed := status >= 500 && s.ResultOf(status) != Succeeded
	ep.history.Add(now, now.Sub(began), failed)
	if failed {
		ep.lastFailure.Store(&failure{now, "status " + strconv.Itoa(status)})
	}
}

// remembered returns what the endpoint's recorder has.
func (ep *Endpoint) remembered(since, now time.Time) (*history.Recent, *history.Plot) {
	recent := ep.history.Recent(now, since)

	return &recent, ep.history.Plot(now)
}

// lateError says which time limit ended an attempt.
type lateError struct {
	text string
	err  error
}

// Error returns what did not happen in time, and the variable of the limit.
func (l *lateError) Error() string { return l.text }

// Unwrap returns the transport's error.
func (l *lateError) Unwrap() error { return l.err }

// late names the variable of the time limit that ended an attempt. Other errors
// stay as they are.
func (s *Service) late(e *wire.Error, c *wire.Call) *wire.Error {
	if !e.Timeout || e.Client != wire.NoFault {
		return e
	}

	named := *e
	var text string
	switch {
	case !c.Deadline.IsZero() && !time.Now().Before(c.Deadline):
		text = "the time of LB_REQUEST_TIMEOUT is over"
	case e.Phase == wire.Connect:
		text = fmt.Sprintf("no connection within LB_CONNECT_TIMEOUT (%v)", s.cfg.ConnectTimeout)
	case e.Phase == wire.Head && c.ResponseTimeout > 0:
		text = fmt.Sprintf("no answer within LB_RESPONSE_TIMEOUT (%v)", c.ResponseTimeout)
	case s.stallTimeout > 0:
		text = fmt.Sprintf("no progress within LB_STALL_TIMEOUT (%v)", s.stallTimeout)
	default:
		return e
	}

	named.Err = &lateError{text, e.Err}

	return &named
}
