package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/backend"
	"github.com/pillion-lb/pillion/proxy/edge"
	"github.com/pillion-lb/pillion/proxy/route"
	"github.com/pillion-lb/pillion/proxy/socket"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// mirror is the service that gets copies of a route's requests (LB_MIRROR).
//
// A copy is an exchange without a client. It has its own request, body and
// deadline, makes one attempt at one endpoint, and reads and drops the answer.
// Copies never wait: if there is no place, no memory, or too many copies are in
// progress, there is no copy.
type mirror struct {
	service  *backend.Service
	name     string  // of the service
	share    int     // of the requests, in the numbers of package route
	route    *routed // the route's settings for a copy, without its retries
	inFlight atomic.Int64
}

const (
	// maxMirrors is the number of copies of one route that may be in progress.
	maxMirrors = 100
	// mirrorLimit bounds a copy if LB_REQUEST_TIMEOUT is off.
	mirrorLimit = 30 * time.Second
	// mirrorMemory is the memory of a copy beside its fields and its body.
	mirrorMemory = 8 << 10
)

func newMirror(r *config.Route, services map[string]*backend.Service) *mirror {
	if !r.Mirror.Given() {
		return nil
	}

	return &mirror{
		service: services[r.Mirror.Service],
		name:    services[r.Mirror.Service].Config().Title(),
		share:   r.Mirror.Share,
		route:   withoutRetries(r),
	}
}

// drawn decides at random whether a request belongs to the share.
func (m *mirror) drawn() bool {
	return m.share >= route.Numbers || rand.IntN(route.Numbers) < m.share
}

// mirrorOutcome is the result of a copy, or why there is none. Metrics have it
// under this name; for a copy that failed they have its error.type.
type mirrorOutcome string

const (
	mirrorAnswered  mirrorOutcome = "answered"
	mirrorNoBackend mirrorOutcome = "no_backend" // the service has no endpoint for it
	mirrorFull      mirrorOutcome = "full"       // too many copies, or requests, are in flight
	mirrorMemoryOut mirrorOutcome = "memory"     // the memory budget refused it
	mirrorBody      mirrorOutcome = "body"       // the body is longer than LB_RETRY_BUFFER
	mirrorUnread    mirrorOutcome = "unread"     // the body was not read to its end
	mirrorStream    mirrorOutcome = "stream"     // a gRPC call without a length
	mirrorUpgrade   mirrorOutcome = "upgrade"    // a WebSocket
	mirrorLate      mirrorOutcome = "late"       // its time was over before it had a place
	mirrorStopped   mirrorOutcome = "stopped"    // the process ends
	mirrorPanicked  mirrorOutcome = "panicked"   // a fault of Pillion's own
)

// mirroring is the mirror's part of an exchange.
type mirroring struct {
	mirrored bool        // it was decided whether there is a copy
	copy     *mirrorCopy // waits for the end of the request's body; nil if there is none
}

// mirrorCopy is a request for a mirror that has not begun.
type mirrorCopy struct {
	*exchange
	mirror *mirror
	held   int64 // bytes taken from the budget, in bytes
}

// startMirror copies the request, if it belongs to the share. It is called
// before the first attempt, because a platform may stop the CPU after the
// answer.
func (x *exchange) startMirror(r *http.Request, c *wire.Call) {
	m := x.route.mirror
	if x.mirrored || x.w == nil || !m.drawn() {
		return
	}
	x.mirrored = true

	if why := x.unmirrored(); why != "" {
		x.p.countMirror(m, why)
		return
	}

	y := x.copyFor(m, r, c)
	switch {
	case y == nil:
		x.p.countMirror(m, mirrorMemoryOut)
	case x.hasBody():
		x.copy = y // bodyFor passes it on to the body
	default:
		y.start(nil)
	}
}

// unmirrored returns why a request can't be copied, or "".
func (x *exchange) unmirrored() mirrorOutcome {
	switch {
	case x.upgrade:
		return mirrorUpgrade
	case x.grpc && x.r.ContentLength < 0:
		return mirrorStream // it may last for hours
	case x.hasBody() && x.r.ContentLength > x.route.Retry.Buffer:
		return mirrorBody
	}

	return ""
}

// copyFor copies a request without its body. The copy shares no memory with the
// original. It returns nil if there is no memory for it.
func (x *exchange) copyFor(m *mirror, r *http.Request, c *wire.Call) *mirrorCopy {
	held := int64(mirrorMemory + len(r.RequestURI) + len(c.Target))
	for name, values := range r.Header {
		held += int64(len(name))
		for _, value := range values {
			held += int64(len(value))
		}
	}
	if !x.p.budget.Take(held, socket.Optional) {
		return nil
	}

	y := exchanges.Get().(*exchange)
	y.p, y.route, y.service, y.target = x.p, m.route, m.service, c.Target
	y.r = freshRequest(context.Background(), r)
	delete(y.r.Header, "Expect") // the whole body has come
	y.hop = edge.Hop{Secure: x.hop.Secure, Host: x.hop.Host, Fields: slices.Clone(c.Fields)}
	y.record = Record{Method: r.Method, Client: x.record.Client, Service: m.name}
	y.trace, y.span, y.grpc = x.trace, x.span, x.grpc

	return &mirrorCopy{exchange: y, mirror: m, held: held}
}

// freshRequest returns a copy of a request that shares no memory with it,
// because the server reuses its requests. The copy has no body.
func freshRequest(ctx context.Context, r *http.Request) *http.Request {
	fresh := r.WithContext(ctx)
	fresh.Header, fresh.Trailer = r.Header.Clone(), nil
	fresh.Body, fresh.ContentLength, fresh.TransferEncoding = http.NoBody, 0, nil
	if r.URL != nil {
		u := *r.URL
		fresh.URL = &u
	}

	return fresh
}

// start sends the copy with a body. It does not keep the slice.
func (y *mirrorCopy) start(body []byte) {
	p, m := y.p, y.mirror
	switch {
	case !p.budget.Take(int64(len(body)), socket.Optional):
		y.drop(mirrorMemoryOut)
		return
	case m.inFlight.Add(1) > maxMirrors:
		m.inFlight.Add(-1)
		y.held += int64(len(body))
		y.drop(mirrorFull)
		return
	}

	y.held += int64(len(body))
	if len(body) > 0 {
		y.r.Body, y.r.ContentLength = &copiedBody{*bytes.NewReader(bytes.Clone(body))}, int64(len(body))
	}
	if p.tracing != nil {
		p.tracing.RequestStarted() // its span may end after the client's request
	}

	if !p.background.start(mirrorWork, y.run) {
		y.end(mirrorStopped)
	}
}

// drop gives up a copy that was not begun.
func (y *mirrorCopy) drop(why mirrorOutcome) {
	y.p.budget.Give(y.held)
	y.p.countMirror(y.mirror, why)
}

// end ends a copy that was begun. The exchange does not go back to the pool.
func (y *mirrorCopy) end(outcome mirrorOutcome) {
	y.mirror.inFlight.Add(-1)
	y.drop(outcome)
	if y.p.tracing != nil {
		y.p.tracing.RequestEnded()
	}
}

// run sends the copy once.
func (y *mirrorCopy) run() {
	outcome := mirrorPanicked
	defer func() { y.end(outcome) }()

	limit := mirrorLimit
	if t := y.route.RequestTimeout; t > 0 {
		limit = t
	}
	ctx, cancel := context.WithTimeout(y.p.background.ctx, limit)
	defer cancel()

	y.r = y.r.WithContext(ctx)
	y.record.Start = time.Now()
	y.deadline = y.record.Start.Add(limit)
	y.claim.Context, y.claim.Start, y.claim.Deadline = ctx, y.record.Start, y.deadline
	y.claim.GRPC, y.claim.Mirror = y.grpc, true
	y.trace.Renew(&y.texts)
	y.shared = wire.Call{
		Fields: y.hop.Fields, Target: y.target,
		ResponseTimeout: y.route.ResponseTimeout, Deadline: y.deadline,
	}
	y.common = &y.shared

	outcome = y.send()
}

// send makes the one attempt.
func (y *mirrorCopy) send() mirrorOutcome {
	defer y.release()
	if err := y.service.Begin(&y.claim, nil); err != nil {
		return y.refusedFor(err)
	}

	resp, v := y.attempt()
	if v == won {
		return y.discard(resp)
	}

	if e, ok := errors.AsType[*wire.Error](y.cause); ok {
		if outcome := errorType(e); outcome != "" {
			return mirrorOutcome(outcome)
		}
	}

	return y.refusedFor(y.cause)
}

// refusedFor returns the outcome of a copy that was not sent, or that was ended
// before its answer.
func (y *mirrorCopy) refusedFor(err error) mirrorOutcome {
	refused, ok := errors.AsType[*backend.Refused](err)
	switch {
	case y.expired():
		return mirrorLate
	case !ok || refused.Why == backend.ClientGone:
		return mirrorStopped
	case refused.Why == backend.Full:
		return mirrorFull
	}

	return mirrorNoBackend
}

// discard reads an answer to its end, as a client would.
func (y *mirrorCopy) discard(resp *http.Response) mirrorOutcome {
	var e *wire.Error
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		e = relayError(err, nil)
	}

	y.endAttempt(resp, e)
	switch {
	case e != nil && y.countsAgainst(e):
		y.noteChange(y.place.ReportCut(
			&y.head, &backend.Outcome{Result: backend.Broken, Began: y.began, Ended: time.Now()},
		))
	case e == nil && y.grpc:
		y.record.GRPC = first(resp.Trailer, "Grpc-Status")
		if len(resp.Trailer) == 0 {
			y.record.GRPC = first(resp.Header, "Grpc-Status")
		}
		y.reportCall()
	}
	resp.Body.Close()

	if e != nil {
		if outcome := errorType(e); outcome != "" {
			return mirrorOutcome(outcome)
		}
		return y.refusedFor(e)
	}

	return mirrorAnswered
}

// copiedBody is the body of a copy.
type copiedBody struct{ bytes.Reader }

// Close does nothing.
func (*copiedBody) Close() error { return nil }

// endMirror gives up a copy whose body did not come to its end.
func (x *exchange) endMirror() {
	why := mirrorUnread
	if x.body != nil {
		pending, tooLong := x.body.forget()
		if !pending {
			return // it has begun
		}
		if tooLong {
			why = mirrorBody
		}
	}

	x.copy.drop(why)
}

// countMirror counts the outcome of a copy.
func (p *Proxy) countMirror(m *mirror, outcome mirrorOutcome) {
	if p.metrics != nil {
		p.metrics.count("lb.mirrors", string(outcome), m.name)
	}
}
