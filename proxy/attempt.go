package proxy

import (
	"net/http"
	"strconv"
	"time"

	"github.com/pillion-lb/pillion/proxy/h1"
)

// attempt makes one try against one endpoint, whose place in flight it holds and gives back. It reports whether the
// request is answered, by this endpoint or by an error.
func (x *exchange) attempt(ep *endpoint) bool {
	s := x.p.service
	defer s.leave(ep)
	began := x.record.Start
	if x.waited || x.record.Attempts > 0 {
		began = time.Now()
	}
	s.budget.attempt(x.record.Attempts > 0, began)
	ep.requests.Add(1)
	x.note(ep)
	up := s.upstreamFor(ep, x)
	if e := x.overlay(ep, up, began); e != nil {
		return x.failed(ep, e, began)
	}
	resp, err := up.Send(x.r, &x.call)
	if err != nil {
		e := asError(err)
		ep.reached(e)
		return x.failed(ep, e, began)
	}
	now := x.call.FirstByte
	if now.IsZero() {
		now = time.Now()
	}
	ep.answered(now)
	return x.answered(ep, resp, began, now)
}

// note writes down what is tried.
func (x *exchange) note(ep *endpoint) {
	x.record.Attempts++
	x.record.Backend, x.record.Reason = ep.name, string(x.reason)
	if x.ntried < len(x.tried) {
		x.tried[x.ntried] = ep
		x.ntried++
	}
}

// overlay fills in what only this attempt carries: Host, trace context, identity, its own view of the body, its limits.
func (x *exchange) overlay(ep *endpoint, up upstream, now time.Time) *h1.Error {
	c := &x.call
	*c = h1.Call{Host: ep.host, Fields: x.fields[:x.said], Upgrade: x.upgrade, ResponseTimeout: x.p.cfg.Service.ResponseTimeout, Deadline: x.deadline, Began: now}
	c.Informational = x.inform
	x.bodyFor(up, c)
	x.startAttempt(ep, now)
	x.traceFields(c)
	return x.identify(ep, c)
}

// identify adds the ID token of the endpoint's audience. A token goes out on TLS or on loopback only. Without one nothing
// is sent to this endpoint; another may need none, or one of another audience.
func (x *exchange) identify(ep *endpoint, c *h1.Call) *h1.Error {
	if ep.audience == "" || x.p.tokens == nil || !ep.server.TLS && !ep.loopback {
		return nil
	}
	ctx := x.r.Context()
	if !x.deadline.IsZero() {
		ctx = until{ctx, x.deadline}
	}
	token, err := x.p.tokens.Token(ctx, ep.audience)
	if err != nil {
		e := &h1.Error{Outcome: h1.NotSent, Phase: h1.Connect, Timeout: x.expired(), Err: &tokenError{err}}
		if x.r.Context().Err() != nil {
			e.Client = h1.Gone
		}
		return e
	}
	if token != "" {
		c.Fields = append(c.Fields, h1.Field{Name: x.p.cfg.Service.IdentityHeader, Value: "Bearer " + token})
	}
	return nil
}

// failed decides what a failed attempt means: for the endpoint, for another attempt, for the client.
func (x *exchange) failed(ep *endpoint, e *h1.Error, began time.Time) bool {
	s, now := x.p.service, time.Now()
	x.class = retriable(e, x.repeatable)
	faulty := x.faulty(e)
	if e.Timeout && e.Phase == h1.Head && x.slow(ep) {
		x.class, faulty = never, false
	}
	if x.class == notSent && s.holds(now) {
		faulty = false // it is still starting
	}
	if x.upgrade && e.Outcome != h1.NotSent && s.overHTTP2(ep) {
		faulty = false // who speaks HTTP/2 alone can't be upgraded, and clients must not turn others away from it by asking
	}
	if faulty {
		x.happened(s.report(ep, false, began, now))
	}
	s.release(ep, x.trial)
	x.endAttempt(ep, nil, e)
	x.last, x.cause = endingOf(e), e
	if !x.again(e) {
		return x.fail(x.last, x.cause)
	}
	return false
}

// faulty reports whether a failed attempt counts against its endpoint. That LB_REQUEST_TIMEOUT ended it does not where
// the client's body was still on its way, or the answer's: nobody waited for the endpoint alone.
func (x *exchange) faulty(e *h1.Error) bool {
	return blame(e) && !(e.Timeout && x.expired() && (e.Phase == h1.Write || e.Phase == h1.Body))
}

// slow tells a slow request from a hung backend: an endpoint that answered anybody since this request was written is
// at work, so the request is neither repeated nor held against it.
func (x *exchange) slow(ep *endpoint) bool {
	return !x.call.Written.IsZero() && ep.lastAnswer.Load() > x.call.Written.UnixNano()
}

// again decides whether another attempt follows, waits before it, and pays for it.
func (x *exchange) again(e *h1.Error) bool {
	s := x.p.service
	if x.class == never || x.started || x.expired() {
		return false
	}
	if !x.bodyLeft(x.class) {
		return false
	}
	if x.class == notSent {
		x.free++
		x.record.Retry = string(x.class)
		return x.free <= maxFree || x.hold()
	}
	if x.retries >= s.cfg.Retry.Attempts || s.cfg.Affinity.Strict && x.bound != nil || !s.budget.take(time.Now()) {
		return false
	}
	x.retries++
	x.record.Retry = string(x.class)
	return x.pause(backoff())
}

func (x *exchange) expired() bool { return !x.deadline.IsZero() && !time.Now().Before(x.deadline) }

// answered takes an endpoint's response: another attempt if its status asks for one, else the winner's way to the client.
func (x *exchange) answered(ep *endpoint, resp *http.Response, began, now time.Time) bool {
	s := x.p.service
	bad := resp.StatusCode >= 500 && resp.StatusCode != http.StatusNotImplemented
	again := s.cfg.Retry.Status.Has(resp.StatusCode) && x.mayRetryStatus()
	if !x.grpc || bad || again { // else a call's outcome is in its trailers
		x.happened(s.report(ep, !bad, began, now))
	}
	s.release(ep, x.trial) // also of a call, which may be a stream that nobody knows the end of
	if resp.StatusCode == http.StatusUnauthorized && ep.server.Run && x.p.tokens != nil {
		x.p.tokens.Rejected(ep.audience)
	}
	if again {
		return x.giveUp(ep, resp)
	}
	switch {
	case resp.StatusCode == http.StatusSwitchingProtocols:
		x.tunnel(ep, resp)
	case x.stream != nil && resp.StatusCode < 300:
		x.unswitched(ep, resp, errUnswitched)
	default:
		x.relay(ep, resp)
	}
	return true
}

// mayRetryStatus decides whether an answer is given up for another attempt, and pays for it: only if there is an
// endpoint left that could give a better one.
func (x *exchange) mayRetryStatus() bool {
	s := x.p.service
	return x.repeatable && x.retries < s.cfg.Retry.Attempts && !(s.cfg.Affinity.Strict && x.bound != nil) && x.untried() &&
		x.bodyLeft(byStatus) && !x.expired() && s.budget.take(time.Now())
}

// giveUp closes an answer and waits before the next attempt, for as long as the backend asks for, within bounds. It
// reports whether the request was answered meanwhile.
func (x *exchange) giveUp(ep *endpoint, resp *http.Response) bool {
	wait := max(backoff(), retryAfter(resp.Header))
	x.endAttempt(ep, resp, nil) // which may be a retry itself, for another reason
	x.retries++
	x.class, x.record.Retry = byStatus, string(byStatus)
	x.last, x.cause = ending{http.StatusServiceUnavailable, "us", "retry"}, errNoBackend // should all others leave meanwhile
	resp.Body.Close()
	switch {
	case x.pause(wait):
		return false
	case x.r.Context().Err() != nil:
		return x.fail(ending{statusClientGone, "client", "retry"}, errClientGone)
	}
	return x.fail(ending{http.StatusGatewayTimeout, "us", "retry"}, errDeadline)
}

// untried reports whether an endpoint is left that may be chosen.
func (x *exchange) untried() bool {
	for i := range x.snap.pick.entries {
		if e := &x.snap.pick.entries[i]; !e.trial && !contains(x.tried[:x.ntried], e.ep) {
			return true
		}
	}
	return false
}

// maxRetryAfter bounds how long a backend may make us wait before a retry.
const maxRetryAfter = 2 * time.Second

func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(first(h, "Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return min(time.Duration(n)*time.Second, maxRetryAfter)
}

// happened notes what an outcome changed about an endpoint.
func (x *exchange) happened(h happening) {
	if h == "" {
		return
	}
	if h == ejected {
		x.record.Ejected = true
		if m := x.p.metrics; m != nil {
			m.count("lb.ejections", x.record.Backend)
		}
	}
	x.event(string(h))
}
