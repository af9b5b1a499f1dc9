package proxy

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
	"go.opentelemetry.io/otel/trace"
)

// refreshLimit bounds a refresh if LB_REQUEST_TIMEOUT is off.
const refreshLimit = 30 * time.Second

// refresh asks the service again for an answer that a client has just got from
// memory. It is an exchange without a client: it has its own trace context, and
// nothing that identifies the client.
func (x *exchange) refresh(r *http.Request, run func(wire.Sender, *wire.Call)) {
	p, route, target, hop := x.p, x.route, x.shared.Target, x.hop
	var cause trace.SpanContext // the request's span; invalid if it is not recorded
	if x.span != nil {
		cause = x.span.SpanContext()
	}
	hop.Client, hop.Peer = "", ""
	hop.Fields = p.edge.WithoutClaims(anonymous(x.hop.Fields))

	x.sayAgain(r.Header)

	p.background.start(refreshing, func() {
		limit := refreshLimit
		if t := route.RequestTimeout; t > 0 {
			limit = t
		}
		ctx, cancel := context.WithTimeout(p.background.ctx, limit)
		defer cancel()

		y := exchanges.Get().(*exchange)
		y.p, y.route, y.service, y.target = p, route, route.service, target
		y.r, y.hop = r.WithContext(ctx), hop
		y.record = Record{Start: time.Now(), Method: r.Method, Host: r.Host, Target: r.RequestURI}
		y.repeatable, y.deadline = true, y.record.Start.Add(limit)
		y.claim.Context, y.claim.Start, y.claim.Deadline = ctx, y.record.Start, y.deadline
		y.runRefresh(run, cause)
	})
}

// sayAgain adds the fields that the route's rules set in every request, and the
// prefix that a trusted proxy has removed, which belongs to the key. Fields
// that are there already are part of the answer's key, and the rules were
// applied to them.
func (x *exchange) sayAgain(h http.Header) {
	said := http.Header{}
	if prefix := x.r.Header["X-Forwarded-Prefix"]; len(prefix) > 0 {
		said["X-Forwarded-Prefix"] = slices.Clone(prefix)
	}
	if rules := x.route.request; rules != nil {
		rules.Rules().Apply(said, nil)
	}
	for name, values := range said {
		if h[name] == nil {
			h[name] = values
		}
	}
}

// runRefresh asks the service once, without the steps that answer a client. The
// exchange does not go back to the pool.
func (x *exchange) runRefresh(run func(wire.Sender, *wire.Call), cause trace.SpanContext) {
	defer x.release()
	x.startRefreshSpan(cause)
	defer x.finishRefreshSpan()
	x.shared = wire.Call{
		Fields: x.hop.Fields, Target: x.target,
		ResponseTimeout: x.route.ResponseTimeout, Deadline: x.deadline,
	}
	if err := x.service.Begin(&x.claim, nil); err != nil {
		run(refusing{err}, &x.shared)
		return
	}

	x.behind = attempting{x}
	if coder := x.compressor(x.behind); coder != nil {
		x.behind = coder
		defer coder.Release()
	}
	run(behindCache{x}, &x.shared)
	if x.placed {
		x.endAttempt(x.fetched, nil)
	}
}

// startRefreshSpan begins a trace for the refresh, because the request's span
// may end before the refresh. It is recorded if the request is.
func (x *exchange) startRefreshSpan(cause trace.SpanContext) {
	tracing := x.p.tracing
	if tracing == nil {
		return
	}

	x.trace = x.p.formats.Read(http.Header{})
	if cause.IsSampled() {
		x.trace.Sampled = true
		x.ctx, x.span = tracing.StartBackground(x.trace.TraceID, "cache refresh", x.record.Start)
		x.span.AddLink(trace.Link{SpanContext: cause})
	}
	x.trace.Renew(&x.texts)
}

// finishRefreshSpan ends the span with the outcome.
func (x *exchange) finishRefreshSpan() {
	if x.fetched != nil {
		x.record.Status = x.fetched.StatusCode
	}
	x.record.Duration = time.Since(x.record.Start)
	x.finishSpan()
}

// anonymous returns the fields that a request without a client may have: those
// with scheme and host, but none about the client.
func anonymous(fields []wire.Field) []wire.Field {
	return slices.DeleteFunc(slices.Clone(fields), func(f wire.Field) bool {
		switch f.Name {
		case "X-Forwarded-For", "Forwarded", "X-Request-Id", "X-Real-Ip":
			return true
		}

		return false
	})
}

// refusing is a Sender that always fails.
type refusing struct{ why error }

// Send returns the error.
func (r refusing) Send(*http.Request, *wire.Call) (*http.Response, error) {
	return nil, &wire.Error{Outcome: wire.NotSent, Phase: wire.Connect, Err: r.why}
}
