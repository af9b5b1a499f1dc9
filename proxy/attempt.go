package proxy

import (
	"net/http"
	"time"

	"github.com/pillion-lb/pillion/proxy/backend"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// attempt sends the request to one endpoint. The attempt keeps its place only
// if the response wins; the caller then releases it.
func (x *exchange) attempt() (*http.Response, result) {
	if v := x.take(); v != won {
		return nil, v
	}

	began := x.record.Start
	if x.claim.Waited || x.record.Attempts > 0 {
		began = time.Now()
	}

	x.countAttempt()
	x.overlay(began)

	resp, err := x.place.Send(x.r, &x.call)
	if err != nil {
		v := x.failed(wire.AsError(err), began)
		x.release()
		return nil, v
	}

	now := x.call.FirstByte
	if now.IsZero() {
		now = time.Now()
	}

	v := x.answered(resp, began, now)
	if v != won {
		x.release()
		return nil, v
	}

	return resp, won
}

// take gets a place at an endpoint for the attempt.
func (x *exchange) take() result {
	place, err := x.service.Take(&x.claim)
	x.record.Queue = x.claim.Queued
	if err == nil {
		x.place, x.placed = place, true
		return won
	}

	if refused := err.(*backend.Refused); refused.Why != backend.Exhausted {
		return x.failWith(endingOfRefusal(refused), refused)
	}

	// Every endpoint was tried. While the service is still starting, the
	// request waits and may then try every endpoint again.
	if x.class == notSent && x.awaitStart() {
		return again
	}

	return lost
}

// release gives the attempt's place back. It may be called more than once.
func (x *exchange) release() {
	if x.placed {
		x.placed = false
		x.place.Release()
	}
}

// countAttempt writes the attempt to the record.
func (x *exchange) countAttempt() {
	x.record.Attempts++
	if x.hedge != nil {
		x.hedge.note(x)
	}
	x.record.Backend, x.record.Reason = x.place.Name, string(x.place.Reason)
}

// overlay fills in what only this attempt carries: its trace context, its own
// body, its start. The place adds Host and identity in Send.
func (x *exchange) overlay(now time.Time) {
	x.call = *x.common
	x.call.Began = now

	x.bodyFor(&x.call)
	x.startAttempt(now)
	x.showCarried()
	x.traceFields()
}

// failed decides what a failed attempt means for the endpoint, for another
// attempt and for the client.
func (x *exchange) failed(e *wire.Error, began time.Time) result {
	now := time.Now()
	x.record.noteTried(e.Cause())
	x.class = retriable(e, x.repeatable)
	faulty := x.countsAgainst(e)
	if e.Timeout && e.Phase == wire.Head && x.onlySlow() {
		x.class, faulty = never, false
	}

	if x.class == notSent && x.place.Starting(now) {
		faulty = false // it is still starting
	}

	if x.upgrade && e.Outcome != wire.NotSent && x.place.OnlyHTTP2() {
		// An HTTP/2-only backend can't upgrade. It must not count, or one
		// client could eject the backend for all.
		faulty = false
	}

	if faulty {
		x.noteChange(
			x.place.Report(&backend.Outcome{Result: backend.Broken, Began: began, Ended: now}),
		)
	}

	x.place.EndTrial()
	x.endAttempt(nil, e)

	if x.mayAskAgain(e) && !x.claim.Untried() {
		x.claim.Allow(x.place.Endpoint)
	}

	x.failWith(endingOf(e), e)
	if x.mayRepeat() {
		return again
	}

	return lost
}

// mayAskAgain reports whether a request that may be repeated can go to the same
// endpoint again, if no other one is left. A broken connection from the pool
// says little about the endpoint. And one that did not process a request, for
// example because it ends its connection, may do so on the next connection,
// behind which there may be another instance.
func (x *exchange) mayAskAgain(e *wire.Error) bool {
	return x.class == notProcessed || x.class == idempotent && x.call.Reused && !e.Timeout
}

// countsAgainst reports whether a failed attempt counts against its endpoint.
//
// Two failures do not. An endpoint may close a pooled connection at any time.
// And when LB_REQUEST_TIMEOUT ends an attempt while a body is being moved, the
// time may have been the client's.
func (x *exchange) countsAgainst(e *wire.Error) bool {
	kept := e.Outcome == wire.Undelivered && x.call.Reused
	late := e.Timeout && x.expired() && (e.Phase == wire.Write || e.Phase == wire.Body)

	return blame(e) && !kept && !late
}

// onlySlow distinguishes a slow request from an endpoint that hangs. If the
// endpoint answered another request after this one was written, it works, so
// this request is neither repeated nor counted against it.
func (x *exchange) onlySlow() bool {
	return !x.call.Written.IsZero() && x.place.AnsweredSince(x.call.Written)
}

// answered decides about an endpoint's response. It wins, unless
// LB_RETRY_STATUS asks for another attempt.
func (x *exchange) answered(resp *http.Response, began, now time.Time) result {
	shown := x.service.ResultOf(resp.StatusCode)
	retry := x.route.Retry.Status.Has(resp.StatusCode) && x.mayRetryStatus()

	x.head = backend.Outcome{}
	// The outcome of a gRPC call is in its trailers, unless its head says it
	// already.
	if !x.grpc || shown != backend.Succeeded || retry {
		x.head = backend.Outcome{Result: shown, Client: x.record.Client, Began: began, Ended: now}
		x.noteChange(x.place.Report(&x.head))
	}

	// A gRPC call ends its trial here too. It may be a stream that lasts for
	// hours.
	x.place.EndTrial()

	if retry {
		return x.giveUp(resp)
	}

	return won
}

// noteChange records what an outcome changed about the endpoint.
func (x *exchange) noteChange(c backend.Change) {
	if c == backend.Unchanged {
		return
	}

	if c == backend.Ejection {
		x.record.Ejected = true
		if m := x.p.metrics; m != nil {
			m.count("lb.ejections", x.record.Backend, x.record.Service)
		}
	}

	x.event(string(c))
}
