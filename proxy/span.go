package proxy

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/proxy/affinity"
	"github.com/pillion-lb/pillion/proxy/backend"
	"github.com/pillion-lb/pillion/proxy/edge"
	"github.com/pillion-lb/pillion/proxy/wire"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// A recorded request has one SERVER span and one CLIENT span for each attempt,
// according to OpenTelemetry's HTTP conventions. Attributes that the
// conventions don't have begin with "lb.". For a request that is not recorded,
// only the metrics are written here.

// The attributes beyond the conventions.
const (
	attrBackend    = attribute.Key("lb.backend.name")
	attrService    = attribute.Key("lb.service.name") // where there are several
	attrRoute      = attribute.Key("lb.route.name")   // where there are several
	attrReason     = attribute.Key("lb.pick.reason")
	attrCookie     = attribute.Key("lb.cookie.verdict")
	attrCandidates = attribute.Key("lb.candidates")
	attrEligible   = attribute.Key("lb.eligible")
	attrAttempts   = attribute.Key("lb.attempts")
	attrQueue      = attribute.Key("lb.queue.wait")  // seconds
	attrRetry      = attribute.Key("lb.retry.class") // why this attempt was allowed
	// the attempt went out on a pooled connection
	attrReused    = attribute.Key("lb.connection.reused")
	attrPhase     = attribute.Key("lb.failed.phase")
	attrFirstByte = attribute.Key("lb.time_to_first_byte") // seconds
	attrEnded     = attribute.Key("lb.ended")
	attrRequestID = attribute.Key("lb.request.id")
	attrBytesIn   = attribute.Key("lb.tunnel.bytes_in")
	attrBytesOut  = attribute.Key("lb.tunnel.bytes_out")
	attrTried     = attribute.Key("lb.tried") // "backend: cause" of each attempt that failed
	attrGRPC      = attribute.Key("rpc.response.status_code")
	attrAccess    = attribute.Key("lb.access") // why a gate turned it away, or "allowed"
	attrCache     = attribute.Key("lb.cache.result")
	attrCacheAge  = attribute.Key("lb.cache.age") // seconds, of an answer from memory
	// seconds that it is still fresh; negative if it is stale
	attrCacheTTL = attribute.Key("lb.cache.ttl")
	attrStored   = attribute.Key("lb.cache.stored")
	attrMirror   = attribute.Key("lb.mirror.outcome") // what became of a copy
	attrCoding   = attribute.Key("lb.compress.coding")
	attrHedge    = attribute.Key("lb.hedge.result") // what came of a hedge
)

// startSpan starts the SERVER span of a recorded request.
func (x *exchange) startSpan() {
	if !x.trace.Sampled {
		return
	}

	if x.trace.State != "" && x.trace.Parent.IsValid() {
		if state, err := trace.ParseTraceState(strings.Clone(x.trace.State)); err == nil {
			x.trace.Parent = x.trace.Parent.WithTraceState(state)
		}
	}

	method, original := spanMethod(x.record.Method)
	path, query := x.path()
	attrs := x.attrs[:0]

	attrs = append(attrs,
		semconv.HTTPRequestMethodKey.String(method),
		semconv.URLPath(bounded(path)),
		semconv.URLScheme(x.record.Scheme),
		semconv.ClientAddress(bounded(x.record.Client)),
		semconv.NetworkPeerAddress(x.record.Peer),
		semconv.NetworkProtocolVersion(protocolVersion(x.r)),
	)
	if original != "" {
		attrs = append(attrs, semconv.HTTPRequestMethodOriginal(original))
	}

	if query != "" {
		attrs = append(attrs, semconv.URLQuery(bounded(redact(query))))
	}

	if host, port := wire.SplitHostPort(x.hop.Host); host != "" {
		attrs = append(attrs, semconv.ServerAddress(bounded(host)))
		if port != 0 {
			attrs = append(attrs, semconv.ServerPort(port))
		}
	}

	if x.record.Agent != "" {
		attrs = append(attrs, semconv.UserAgentOriginal(bounded(x.record.Agent)))
	}

	x.ctx, x.span = x.p.tracing.Start(
		x.trace.Parent,
		x.trace.TraceID,
		spanName(method),
		x.record.Start,
		attrs...)
	x.record.SpanID = x.span.SpanContext().SpanID()
}

// finishSpan ends the SERVER span with the outcome of the request.
func (x *exchange) finishSpan() {
	if x.span == nil {
		return
	}

	r := &x.record
	attrs := append(
		x.attrs[:0], attrAttempts.Int(r.Attempts), attrRequestID.String(bounded(r.RequestID)),
	)
	if r.Status != 0 {
		attrs = append(attrs, semconv.HTTPResponseStatusCode(r.Status))
	}

	attrs = x.appendCandidates(attrs)
	attrs = r.appendBackend(attrs)
	if r.Route != "" {
		attrs = append(attrs, semconv.HTTPRoute(r.Pattern), attrRoute.String(r.Route))
		method, _ := spanMethod(r.Method)
		x.span.SetName(spanName(method) + " " + r.Pattern)
	}

	attrs = r.appendOutcome(attrs)
	attrs = r.appendCache(attrs)
	x.linkLeader()
	if r.Coding != "" {
		attrs = append(attrs, attrCoding.String(r.Coding))
	}

	if failure := r.failure(); failure != "" {
		attrs = append(attrs, semconv.ErrorTypeKey.String(failure))
		x.span.SetStatus(codes.Error, "")
	}

	x.span.SetAttributes(attrs...)
	clear(attrs)
	x.span.End(trace.WithTimestamp(r.Start.Add(r.Duration)))
}

// appendCandidates appends how many endpoints could have been chosen, and the
// verdict on the affinity cookie.
func (x *exchange) appendCandidates(attrs []attribute.KeyValue) []attribute.KeyValue {
	if all, eligible := x.claim.Candidates(); all > 0 || x.claim.Begun() {
		attrs = append(attrs, attrCandidates.Int(all), attrEligible.Int(eligible))
	}
	if x.claim.Session.State != affinity.Off {
		attrs = append(attrs, attrCookie.String(string(x.claim.Session.State)))
	}

	return attrs
}

// appendBackend appends which backend was chosen, why, and which ones failed.
func (r *Record) appendBackend(attrs []attribute.KeyValue) []attribute.KeyValue {
	if r.Queue > 0 {
		attrs = append(attrs, attrQueue.Float64(r.Queue.Seconds()))
	}
	if r.Backend != "" {
		attrs = append(attrs, attrBackend.String(r.Backend), attrReason.String(r.Reason))
	}
	if len(r.Tried) > 0 {
		attrs = append(attrs, attrTried.StringSlice(r.tried()))
	}
	if r.Service != "" {
		attrs = append(attrs, attrService.String(r.Service))
	}

	return attrs
}

// appendOutcome appends how the request ended, as far as it was special.
func (r *Record) appendOutcome(attrs []attribute.KeyValue) []attribute.KeyValue {
	if r.Ended != "" {
		attrs = append(attrs, attrEnded.String(r.Ended))
	}
	if r.GRPC != "" {
		attrs = append(attrs, attrGRPC.String(bounded(r.GRPC)))
	}
	if r.Access != "" {
		attrs = append(attrs, attrAccess.String(r.Access))
	}
	if r.Hedge != "" {
		attrs = append(attrs, attrHedge.String(r.Hedge))
	}

	return attrs
}

// tried returns the attempts that failed, as texts.
func (r *Record) tried() []string {
	texts := make([]string, len(r.Tried))
	for i, t := range r.Tried {
		texts[i] = t[0] + ": " + bounded(t[1])
	}

	return texts
}

// linkLeader links the span to that of the request whose answer this one
// shares.
func (x *exchange) linkLeader() {
	if x.lookup == nil || !x.lookup.Shared {
		return
	}
	if leader, ok := x.lookup.Leader.(trace.SpanContext); ok {
		x.span.AddLink(trace.Link{SpanContext: leader})
	}
}

// appendCache appends what the cache did with the request.
func (r *Record) appendCache(attrs []attribute.KeyValue) []attribute.KeyValue {
	if r.Cache == "" {
		return attrs
	}

	attrs = append(attrs, attrCache.String(string(r.Cache)), attrStored.Bool(r.CacheStored))
	if r.CacheHit {
		attrs = append(attrs, attrCacheAge.Float64(r.CacheAge.Seconds()),
			attrCacheTTL.Float64(r.CacheTTL.Seconds()))
	}

	return attrs
}

// startAttempt starts the CLIENT span of an attempt.
func (x *exchange) startAttempt(now time.Time) {
	x.client, x.began = nil, now
	if x.span == nil {
		return
	}
	if x.place.Reason == backend.ByPanic {
		x.span.AddEvent(
			"panic", trace.WithTimestamp(now),
			trace.WithAttributes(attrBackend.String(x.place.Name)),
		)
	}

	ep := x.place.Endpoint
	all, eligible := x.claim.Candidates()
	method, original := spanMethod(x.r.Method)
	host := x.r.Host
	if ep.Host != "" {
		host = ep.Host
	}

	attrs := x.attrs[:0]
	attrs = append(attrs,
		semconv.HTTPRequestMethodKey.String(method),
		semconv.ServerAddress(ep.Addr),
		semconv.ServerPort(ep.Port),
		semconv.URLFull(x.fullURL(ep, host)),
		attrBackend.String(ep.Name),
		attrReason.String(string(x.place.Reason)),
		attrCandidates.Int(all),
		attrEligible.Int(eligible),
	)
	if original != "" {
		attrs = append(attrs, semconv.HTTPRequestMethodOriginal(original))
	}

	if x.record.Attempts > 1 {
		attrs = append(
			attrs, semconv.HTTPRequestResendCount(x.record.Attempts-1),
			attrRetry.String(string(x.class)),
		)
	}
	if x.claim.Session.State != affinity.Off {
		attrs = append(attrs, attrCookie.String(string(x.claim.Session.State)))
	}
	if x.record.Service != "" {
		attrs = append(attrs, attrService.String(x.record.Service))
	}

	x.client = x.p.tracing.StartClient(x.span, spanName(method), now, attrs...)
}

// endAttempt ends the attempt: it records its metrics and ends its CLIENT span.
// resp is nil if the attempt failed. Both are set if an answer was cut after
// its head.
func (x *exchange) endAttempt(resp *http.Response, e *wire.Error) {
	status := 0
	if resp != nil {
		status = resp.StatusCode
	}
	if m := x.p.metrics; m != nil {
		m.attempt(x, status, e, time.Since(x.began))
	}
	if x.p.debug {
		x.logAttempt(status, e)
	}

	if x.client == nil {
		return
	}

	attrs := append(x.attrs[:0], attrReused.Bool(x.call.Reused))
	if !x.call.FirstByte.IsZero() && !x.call.Written.IsZero() {
		attrs = append(attrs, attrFirstByte.Float64(x.call.FirstByte.Sub(x.call.Written).Seconds()))
	}
	if resp != nil {
		attrs = append(
			attrs, semconv.HTTPResponseStatusCode(resp.StatusCode),
			semconv.NetworkProtocolVersion(versionOf(resp.ProtoMajor, resp.ProtoMinor)),
		)
	}

	if e != nil {
		attrs = append(attrs, attrPhase.String(e.Phase.String()))
	}

	if failure := attemptFailure(status, e); failure != "" {
		attrs = append(attrs, semconv.ErrorTypeKey.String(failure))
		x.client.SetStatus(codes.Error, "")
	}

	x.client.SetAttributes(attrs...)
	x.client.End()
	x.client = nil
}

// failure returns the error.type of the request, for its span and its metrics.
// It is "" if there was no error.
func (r *Record) failure() string {
	switch {
	case r.Status >= 500:
		return strconv.Itoa(r.Status)
	case strings.HasPrefix(r.Ended, "backend/"):
		return "answer_cut"
	}
	return ""
}

// attemptFailure returns the error.type of an attempt: its error, or else the
// status of its answer.
func attemptFailure(status int, e *wire.Error) string {
	if e != nil {
		if failure := errorType(e); failure != "" {
			return failure
		}
	}

	if status >= 400 {
		return strconv.Itoa(status)
	}

	return ""
}

// errorType returns the cause of a failed attempt as one of a few words. A
// client that left is not an error.
func errorType(e *wire.Error) string {
	switch {
	case e.Client == wire.Gone:
		return ""
	case e.Client != wire.NoFault:
		return "client_body"
	case unidentified(e):
		return "identity"
	case e.Timeout:
		return e.Phase.String() + "_timeout"
	case e.Outcome == wire.NotSent:
		return "connect"
	case e.Outcome == wire.Undelivered:
		return "not_delivered"
	case e.Outcome == wire.NotProcessed:
		return "not_processed"
	case e.Outcome == wire.NoAnswer:
		return "no_answer"
	}

	return "broken_answer"
}

// event adds an event to the request's span.
func (x *exchange) event(name string) {
	if x.span != nil {
		x.span.AddEvent(name, trace.WithAttributes(attrBackend.String(x.record.Backend)))
	}
}

func (x *exchange) fullURL(ep *backend.Endpoint, host string) string {
	path, query := x.path()
	if x.target != "" {
		path, query, _ = strings.Cut(x.target, "?")
	}
	u := edge.Scheme(ep.Origin) + clip(host) + clip(path)
	if query != "" {
		u += "?" + clip(redact(query))
	}

	return u
}

// longestText is how much of one text a span keeps. Log lines have the same
// limit.
const longestText = 4 << 10

// bounded returns a copy of a client's or backend's text for a span. The length
// must be bounded, and the copy must not share memory with the header block,
// because thousands of ended spans may wait for a collector.
func bounded(s string) string { return strings.Clone(clip(s)) }

func clip(s string) string { return s[:min(len(s), longestText)] }

// spanMethod returns the method as spans name it, and the original if the
// conventions don't know the method.
func spanMethod(method string) (known, original string) {
	for _, known := range knownMethods {
		if method == known {
			return known, ""
		}
	}
	return "_OTHER", bounded(method)
}

// knownMethods are the methods of the conventions, the most frequent first.
var knownMethods = [...]string{
	"GET",
	"POST",
	"HEAD",
	"PUT",
	"DELETE",
	"OPTIONS",
	"PATCH",
	"CONNECT",
	"TRACE",
	"QUERY",
}

// spanName returns the name of a span: the method and, if there are routes, the
// path of the item. The conventions forbid the request's own path.
func spanName(method string) string {
	if method == "_OTHER" {
		return "HTTP"
	}
	return method
}

func protocolVersion(r *http.Request) string { return versionOf(r.ProtoMajor, r.ProtoMinor) }

func versionOf(major, minor int) string {
	switch {
	case major == 2:
		return "2"
	case minor == 0:
		return "1.0"
	}
	return "1.1"
}

// redact hides the values of query parameters that are credentials, as the
// conventions require for url.full.
func redact(query string) string {
	if !strings.ContainsAny(query, "sSxXaAtT") {
		return query
	}

	var shown strings.Builder
	kept := 0 // everything before this is written
	for start, end := 0, 0; start < len(query); start = end + 1 {
		end = len(query)
		if i := strings.IndexByte(query[start:], '&'); i >= 0 {
			end = start + i
		}

		name, _, ok := strings.Cut(query[start:end], "=")
		if !ok || !secretParameter(name) {
			continue
		}

		shown.WriteString(query[kept:start])
		shown.WriteString(name)
		shown.WriteString("=REDACTED")
		kept = end
	}

	if kept == 0 {
		return query
	}

	shown.WriteString(query[kept:])
	return shown.String()
}

func secretParameter(name string) bool {
	switch strings.ToLower(name) {
	case "token", "access_token", "sig", "signature", "awsaccesskeyid", "x-goog-signature",
		"x-amz-signature", "x-amz-credential", "x-amz-security-token":
		return true
	}
	return false
}
