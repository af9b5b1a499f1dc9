package proxy

import (
	"net/http"
	"slices"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/edge"
)

// clean turns the client's request into one that may go to a backend. It
// removes the fields that concern only the connection to the client, removes
// what an untrusted peer claims about the client, and sets the fields that a
// proxy must set. After clean, the request is read-only.
func (x *exchange) clean() {
	fields, rules := x.r.Header, x.p.edge

	if claimed := rules.Strip(&x.hop, fields); claimed != "" {
		x.hintTrust(claimed)
	}

	rules.Forward(&x.hop, fields)
	rules.ForwardCertificate(&x.hop, fields, x.r.TLS)
	x.record.Scheme = x.hop.Scheme()

	x.readTrace(fields)
	x.record.RequestID = x.hop.RequestID(fields, &x.trace, &x.texts)
	rules.MarkLoop(&x.hop, fields)
}

// hintTrust logs, once per process, the setting that would have trusted the
// peer.
func (x *exchange) hintTrust(field string) {
	if x.p.trustHint.Load() || !x.p.trustHint.CompareAndSwap(false, true) {
		return
	}

	byClient := func(r config.Route) bool { return keyedByClient(&r) }
	if x.p.limits.inFlight != nil || slices.ContainsFunc(x.p.cfg.Routes, byClient) {
		x.p.log.Warn("forwarding fields of an untrusted peer were dropped, so that rules about "+
			"clients' addresses take the peer for every client; if it is a proxy of yours, name it in "+
			"LB_TRUSTED_PROXIES",
			"field", field, "peer", x.hop.Peer, "setting", "LB_TRUSTED_PROXIES='"+x.hop.Hint()+"'")
		return
	}

	x.p.log.Info("forwarding fields of an untrusted peer were dropped; if it is a proxy of yours, "+
		"name it in LB_TRUSTED_PROXIES",
		"field", field, "peer", x.hop.Peer, "setting", "LB_TRUSTED_PROXIES='"+x.hop.Hint()+"'")
}

// readTrace finds the caller's span and decides whether the request is
// recorded.
func (x *exchange) readTrace(fields http.Header) {
	if x.p.tracing == nil {
		x.trace = edge.PassingTrace(fields)
		x.record.TraceID, x.record.Sampled = x.trace.TraceID, x.trace.Sampled
		return
	}

	x.trace = x.p.formats.Read(fields)
	x.trace.Sampled = x.p.tracing.Sampled(x.trace.Parent, x.trace.TraceID)
	x.startSpan()
	x.trace.Renew(&x.texts)
	x.record.TraceID, x.record.Sampled = x.trace.TraceID, x.trace.Sampled
}

// traceFields adds the trace context to the attempt's fields. The backend's
// parent span is the attempt's CLIENT span.
func (x *exchange) traceFields() {
	if x.p.tracing == nil {
		return
	}

	switch {
	case x.client != nil:
		x.trace.RenewAs(x.client.SpanContext().SpanID(), &x.texts)
	case x.record.Attempts > 1:
		x.trace.Renew(&x.texts)
	}

	x.call.Fields = x.p.formats.Append(x.call.Fields, &x.trace)
}
