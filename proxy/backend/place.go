package backend

import (
	"context"
	"net/http"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// Place is the right of one attempt to use an endpoint. It is a wire.Sender.
// The methods are called in this order: Send, Report or EndTrial, Release.
type Place struct {
	*Endpoint
	Reason Reason // why the endpoint was chosen

	service   *Service
	transport Transport
	first     bool // the request's first place
	trial     bool // the endpoint was ejected, and this request decides whether it is readmitted
}

// Send sends the request to the endpoint. It adds the endpoint's Host and ID
// token to the call. An error is a *wire.Error.
func (p *Place) Send(r *http.Request, c *wire.Call) (*http.Response, error) {
	p.service.budget.count(!p.first, c.Began)
	p.requests.Add(1)

	c.Host = p.Host
	if e := p.identify(r, c); e != nil {
		return nil, e
	}

	resp, err := p.transport.Send(r, c)
	if err != nil {
		e := p.service.late(wire.AsError(err), c)
		p.reached(e)
		p.service.noteFailure(p.Endpoint, e)
		return nil, e
	}

	answered := c.FirstByte
	if answered.IsZero() {
		answered = time.Now()
	}

	p.answered(answered)
	p.service.noteAnswer(p.Endpoint, resp.StatusCode, c.Began, answered)
	p.service.noteRejectedToken(p.Endpoint, resp)

	return resp, nil
}

// identify adds the ID token to a call. Without the token, nothing is sent to
// this endpoint. Another endpoint may need no token, or one for another
// audience.
func (p *Place) identify(r *http.Request, c *wire.Call) *wire.Error {
	if !p.service.needsToken(p.Endpoint) {
		return nil
	}

	ctx := c.ContextOf(r)
	if !c.Deadline.IsZero() {
		ctx = withDeadline{ctx, c.Deadline}
	}

	err := p.service.addToken(ctx, p.Endpoint, c)
	if err == nil {
		return nil
	}

	e := &wire.Error{Outcome: wire.NotSent, Phase: wire.Connect, Err: &TokenError{err}}
	e.Timeout = !c.Deadline.IsZero() && !time.Now().Before(c.Deadline)
	if c.ContextOf(r).Err() != nil {
		e.Client = wire.Gone
	}

	return e
}

// withDeadline is a context with the request's deadline that is not cancelled
// by it. context.WithDeadline would call Done on the request's context, and the
// client would be watched from then on.
type withDeadline struct {
	context.Context
	deadline time.Time
}

// Deadline returns the request's deadline.
func (w withDeadline) Deadline() (time.Time, bool) { return w.deadline, true }

// MovesBody is Transport.MovesBody of the endpoint's transport.
func (p *Place) MovesBody() bool { return p.transport.MovesBody() }

// OnlyHTTP2 reports whether the endpoint is configured to speak HTTP/2, which
// rules out an upgrade.
func (p *Place) OnlyHTTP2() bool { return p.service.overHTTP2(p.Endpoint) }

// Starting reports whether a refused connection is expected, because no
// endpoint of the service has accepted one yet.
func (p *Place) Starting(now time.Time) bool { return p.service.starting(now) }

// AnsweredSince reports whether the endpoint has answered any request since t.
func (p *Place) AnsweredSince(t time.Time) bool { return p.lastAnswer.Load() > t.UnixNano() }

// Report counts the outcome of the attempt. It returns what that changed about
// the endpoint.
func (p *Place) Report(o *Outcome) Change { return p.service.report(p.Endpoint, o) }

// ReportCut counts the outcome of an attempt whose answer broke after its head.
// It replaces the outcome that was reported at the head, which is zero if none
// was.
func (p *Place) ReportCut(head, o *Outcome) Change {
	return p.service.reportCut(p.Endpoint, head, o)
}

// EndTrial lets another request be the endpoint's trial, if this request is it.
func (p *Place) EndTrial() { p.service.endTrial(p.Endpoint, p.trial) }

// Release gives the place back. A claim in the queue may get it.
func (p *Place) Release() { p.service.giveBack(p.Endpoint) }

// transportFor chooses one of the endpoint's two transports. gRPC goes over
// HTTP/2, an upgrade over HTTP/1.1.
func (s *Service) transportFor(ep *Endpoint, c *Claim) Transport {
	if !c.Upgrade && (s.overHTTP2(ep) || c.GRPC && s.protocol(ep) != config.HTTP1) {
		return ep.http2
	}

	return ep.http1
}
