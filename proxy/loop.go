package proxy

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/pillion-lb/pillion/proxy/backend"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// maxFree is how many more endpoints are tried, after the first, when nothing
// was sent to those before.
const maxFree = 3

// result decides how the attempt loop continues after a step.
type result uint8

const (
	again result = iota // another attempt follows
	won                 // there is a place, or an answer, to continue with
	lost                // there is no answer; x.last says how the request ends
)

// failure is the error of the attempt loop: what the client is told, and the
// cause for the log.
type failure struct {
	ending
	cause error
}

// Error returns the cause's text.
func (f *failure) Error() string { return f.cause.Error() }

// Unwrap returns the cause.
func (f *failure) Unwrap() error { return f.cause }

// attempting is the Sender that asks the service: the attempt loop, or a hedge
// over two of them. It also starts the copy for a mirror.
type attempting struct{ *exchange }

// Send is exchange.Send.
func (a attempting) Send(r *http.Request, c *wire.Call) (*http.Response, error) {
	if a.route.mirror != nil {
		a.startMirror(r, c)
	}
	if a.hedges() {
		return a.sendHedged(r, c)
	}

	return a.exchange.Send(r, c)
}

// Send makes attempts until an endpoint answers or no attempt may follow. It
// makes the attempt loop a wire.Sender, so that a caller gets one answer and
// sees no attempts. c holds what all attempts have in common.
//
// The caller passes the answer on, and then calls endAttempt and release. An
// error is a *wire.Error whose Err is a *failure.
func (x *exchange) Send(r *http.Request, c *wire.Call) (*http.Response, error) {
	x.r, x.common = r, c

	for {
		resp, v := x.attempt()
		switch v {
		case won:
			return resp, nil
		case lost:
			e := &wire.Error{
				Outcome: wire.NoAnswer,
				Phase:   wire.Head,
				Err:     &failure{x.last, x.cause},
			}
			if x.last.status == statusClientGone {
				e.Client = wire.Gone // requests that wait for the same answer may still be there
			}

			return nil, e
		}
	}
}

// failureOf returns the *failure in an error of Send.
func failureOf(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}

	e := wire.AsError(err)

	return &failure{endingOf(e), e}
}

// failWith notes how the request ends if no other attempt follows.
func (x *exchange) failWith(end ending, cause error) result {
	x.last, x.cause = end, cause
	return lost
}

// mayRepeat decides whether another attempt follows. If so, it pays for it and
// waits as long as necessary.
func (x *exchange) mayRepeat() bool {
	s := x.service
	if x.class == never || x.started || x.expired() {
		return false
	}
	if !x.bodyLeft(x.class) {
		return false
	}

	if x.class == notSent {
		x.free++
		x.record.Retry = string(x.class)
		return x.free <= maxFree || x.awaitStart()
	}

	if x.retries >= x.route.Retry.Attempts || s.Strict(&x.claim) || !s.Spend(time.Now()) {
		return false
	}

	x.retries++
	x.record.Retry = string(x.class)
	return x.pause(backoff())
}

func (x *exchange) expired() bool { return !x.deadline.IsZero() && !time.Now().Before(x.deadline) }

// mayRetryStatus decides whether to give up an answer for another attempt, and
// pays for that attempt. An endpoint must be left that could give a better
// answer.
func (x *exchange) mayRetryStatus() bool {
	s := x.service
	return x.repeatable && x.retries < x.route.Retry.Attempts &&
		!s.Strict(&x.claim) && x.claim.Untried() &&
		x.bodyLeft(byStatus) && !x.expired() &&
		s.Spend(time.Now())
}

// giveUp closes an answer and waits before the next attempt, as long as
// Retry-After says, within bounds.
func (x *exchange) giveUp(resp *http.Response) result {
	wait := max(backoff(), retryAfter(resp.Header))
	// Before Retry changes: the attempt that ends here may itself be a retry,
	// for another reason, and its metric has that reason.
	x.endAttempt(resp, nil)
	x.record.noteTried("status " + strconv.Itoa(resp.StatusCode))
	x.retries++
	x.class, x.record.Retry = byStatus, string(byStatus)

	// This is the end of the request if all other endpoints leave while it
	// waits.
	x.failWith(ending{http.StatusServiceUnavailable, "us", "retry"}, errNoBackend)
	resp.Body.Close()

	switch {
	case x.pause(wait):
		return again
	case x.common.ContextOf(x.r).Err() != nil:
		return x.failWith(ending{statusClientGone, "client", "retry"}, errClientGone)
	}

	return x.failWith(ending{http.StatusGatewayTimeout, "us", "retry"}, errDeadline)
}

// maxRetryAfter is the longest wait that Retry-After can cause.
const maxRetryAfter = 2 * time.Second

func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(first(h, "Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return min(time.Duration(n)*time.Second, maxRetryAfter)
}

// awaitStart keeps a request waiting while no endpoint accepts connections yet.
// It reports true when all endpoints may be tried again, and false when the
// failure stands.
func (x *exchange) awaitStart() bool {
	again, err := x.service.AwaitStart(&x.claim, x.cause)
	if refused, ok := err.(*backend.Refused); ok {
		x.last, x.cause = endingOfRefusal(refused), refused
	}
	if again {
		x.free = 0
	}

	return again
}

// pause waits before a retry. It reports false if the client leaves meanwhile,
// or if the request's deadline would come first.
func (x *exchange) pause(d time.Duration) bool {
	if !x.deadline.IsZero() && time.Until(x.deadline) < d {
		return false
	}

	t := time.NewTimer(d)
	defer t.Stop()

	select {
	case <-t.C:
		return true
	case <-x.common.ContextOf(x.r).Done():
		x.last, x.cause = ending{statusClientGone, "client", "retry"}, errClientGone
		return false
	}
}
