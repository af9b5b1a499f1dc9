package proxy

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/pillion-lb/pillion/proxy/h1"
)

// A recorded request has one SERVER span, and one CLIENT span per attempt, by OpenTelemetry's HTTP conventions; what
// they have no name for is ours and begins with "lb.". A request that is not recorded never comes here.

// Attributes of our own.
const (
	attrBackend    = attribute.Key("lb.backend.name")
	attrReason     = attribute.Key("lb.pick.reason")
	attrCookie     = attribute.Key("lb.cookie.verdict")
	attrCandidates = attribute.Key("lb.candidates")
	attrEligible   = attribute.Key("lb.eligible")
	attrAttempts   = attribute.Key("lb.attempts")
	attrQueue      = attribute.Key("lb.queue.wait")        // seconds
	attrRetry      = attribute.Key("lb.retry.class")       // why this attempt was allowed
	attrReused     = attribute.Key("lb.connection.reused") // the attempt went out on a pooled connection
	attrPhase      = attribute.Key("lb.failed.phase")
	attrFirstByte  = attribute.Key("lb.time_to_first_byte") // seconds
	attrEnded      = attribute.Key("lb.ended")
	attrRequestID  = attribute.Key("lb.request.id")
	attrBytesIn    = attribute.Key("lb.tunnel.bytes_in")
	attrBytesOut   = attribute.Key("lb.tunnel.bytes_out")
	attrGRPC       = attribute.Key("rpc.response.status_code")
)

// startSpan starts the SERVER span of a recorded request.
func (x *exchange) startSpan() {
	if !x.trace.sampled {
		return
	}
	if x.trace.state != "" && x.trace.parent.IsValid() {
		if state, err := trace.ParseTraceState(strings.Clone(x.trace.state)); err == nil {
			x.trace.parent = x.trace.parent.WithTraceState(state)
		}
	}
	method, original := spanMethod(x.record.Method)
	path, query := x.path()
	attrs := x.attrs[:0]
	attrs = append(attrs,
		semconv.HTTPRequestMethodKey.String(method),
		semconv.URLPath(kept(path)),
		semconv.URLScheme(x.record.Scheme),
		semconv.ClientAddress(kept(x.record.Client)),
		semconv.NetworkPeerAddress(x.record.Peer),
		semconv.NetworkProtocolVersion(protocolVersion(x.r)),
	)
	if original != "" {
		attrs = append(attrs, semconv.HTTPRequestMethodOriginal(original))
	}
	if query != "" {
		attrs = append(attrs, semconv.URLQuery(kept(redact(query))))
	}
	if host, port := splitAddress(x.clientHost); host != "" {
		attrs = append(attrs, semconv.ServerAddress(kept(host)))
		if port != 0 {
			attrs = append(attrs, semconv.ServerPort(port))
		}
	}
	if x.record.Agent != "" {
		attrs = append(attrs, semconv.UserAgentOriginal(kept(x.record.Agent)))
	}
	x.ctx, x.span = x.p.tracing.Start(x.trace.parent, x.trace.trace, spanName(method), x.record.Start, attrs...)
	x.record.SpanID = x.span.SpanContext().SpanID()
}

// finishSpan ends the SERVER span with what came of the request.
func (x *exchange) finishSpan() {
	if x.span == nil {
		return
	}
	r := &x.record
	attrs := append(x.attrs[:0], attrAttempts.Int(r.Attempts), attrRequestID.String(kept(r.RequestID)))
	if r.Status != 0 {
		attrs = append(attrs, semconv.HTTPResponseStatusCode(r.Status))
	}
	if x.snap != nil {
		attrs = append(attrs, attrCandidates.Int(len(x.snap.entries)), attrEligible.Int(x.snap.eligible()))
	}
	if x.verdict != cookieOff {
		attrs = append(attrs, attrCookie.String(string(x.verdict)))
	}
	if r.Queue > 0 {
		attrs = append(attrs, attrQueue.Float64(r.Queue.Seconds()))
	}
	if r.Ended != "" {
		attrs = append(attrs, attrEnded.String(r.Ended))
	}
	if r.Backend != "" {
		attrs = append(attrs, attrBackend.String(r.Backend), attrReason.String(r.Reason))
	}
	if r.GRPC != "" {
		attrs = append(attrs, attrGRPC.String(kept(r.GRPC)))
	}
	if failure := r.failure(); failure != "" {
		attrs = append(attrs, semconv.ErrorTypeKey.String(failure))
		x.span.SetStatus(codes.Error, "")
	}
	x.span.SetAttributes(attrs...)
	clear(attrs)
	x.span.End(trace.WithTimestamp(r.Start.Add(r.Duration)))
}

// startAttempt starts the CLIENT span of an attempt.
func (x *exchange) startAttempt(ep *endpoint, now time.Time) {
	x.client, x.began = nil, now
	if x.span == nil {
		return
	}
	if x.reason == byPanic {
		x.span.AddEvent("panic", trace.WithTimestamp(now), trace.WithAttributes(attrBackend.String(ep.name)))
	}
	method, original := spanMethod(x.r.Method)
	host := x.r.Host
	if ep.host != "" {
		host = ep.host
	}
	attrs := x.attrs[:0]
	attrs = append(attrs,
		semconv.HTTPRequestMethodKey.String(method),
		semconv.ServerAddress(ep.addr),
		semconv.ServerPort(ep.port),
		semconv.URLFull(x.fullURL(ep, host)),
		attrBackend.String(ep.name),
		attrReason.String(string(x.reason)),
		attrCandidates.Int(len(x.snap.entries)),
		attrEligible.Int(x.snap.eligible()),
	)
	if original != "" {
		attrs = append(attrs, semconv.HTTPRequestMethodOriginal(original))
	}
	if x.record.Attempts > 1 {
		attrs = append(attrs, semconv.HTTPRequestResendCount(x.record.Attempts-1), attrRetry.String(string(x.class)))
	}
	if x.verdict != cookieOff {
		attrs = append(attrs, attrCookie.String(string(x.verdict)))
	}
	x.client = x.p.tracing.StartClient(x.span, spanName(method), now, attrs...)
}

// endAttempt writes the attempt down, in metrics and its CLIENT span. Of response and error at least one is nil, or both
// are set where an answer that had begun was cut.
func (x *exchange) endAttempt(ep *endpoint, resp *http.Response, e *h1.Error) {
	status := 0
	if resp != nil {
		status = resp.StatusCode
	}
	if m := x.p.metrics; m != nil {
		m.attempt(x, ep, status, e, time.Since(x.began))
	}
	if x.client == nil {
		return
	}
	attrs := append(x.attrs[:0], attrReused.Bool(x.call.Reused))
	if !x.call.FirstByte.IsZero() && !x.call.Written.IsZero() {
		attrs = append(attrs, attrFirstByte.Float64(x.call.FirstByte.Sub(x.call.Written).Seconds()))
	}
	if resp != nil {
		attrs = append(attrs, semconv.HTTPResponseStatusCode(resp.StatusCode), semconv.NetworkProtocolVersion(versionOf(resp.ProtoMajor, resp.ProtoMinor)))
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

// failure is the error.type of a request, "" when there was no error. Span and metric ask here.
func (r *Record) failure() string {
	switch {
	case r.Status >= 500:
		return strconv.Itoa(r.Status)
	case strings.HasPrefix(r.Ended, "backend/"):
		return "answer_cut"
	}
	return ""
}

// attemptFailure is the same of an attempt: its error, or else the status that it was answered with.
func attemptFailure(status int, e *h1.Error) string {
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

// errorType is the cause of a failed attempt in one of few words; a caller who left made no error.
func errorType(e *h1.Error) string {
	switch {
	case e.Client == h1.Gone:
		return ""
	case e.Client != h1.NoFault:
		return "client_body"
	case unidentified(e):
		return "identity"
	case e.Timeout:
		return e.Phase.String() + "_timeout"
	case e.Outcome == h1.NotSent:
		return "connect"
	case e.Outcome == h1.NotProcessed:
		return "not_processed"
	case e.Outcome == h1.NoAnswer:
		return "no_answer"
	}
	return "broken_answer"
}

// event adds an event to the request's span: what it changed about an endpoint.
func (x *exchange) event(name string) {
	if x.span != nil {
		x.span.AddEvent(name, trace.WithAttributes(attrBackend.String(x.record.Backend)))
	}
}

func (x *exchange) fullURL(ep *endpoint, host string) string {
	path, query := x.path()
	u := scheme(ep.origin) + clip(host) + clip(path)
	if query != "" {
		u += "?" + clip(redact(query))
	}
	return u
}

// longestText is how much of one text a span keeps, which is what a log line shows of it.
const longestText = 4 << 10

// kept is a text of somebody else's message as a span may keep it. Ended spans wait for the collector, by the thousand if
// it does not answer: they must neither be as long as a client likes nor hold on to the header block that the text is
// part of.
func kept(s string) string { return strings.Clone(clip(s)) }

func clip(s string) string { return s[:min(len(s), longestText)] }

// spanMethod is the method as spans name it, and the original where the conventions know no such method. Neither is part
// of a message.
func spanMethod(method string) (known, original string) {
	for _, known := range knownMethods {
		if method == known {
			return known, ""
		}
	}
	return "_OTHER", kept(method)
}

// knownMethods are those of the conventions, the most usual first.
var knownMethods = [...]string{"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "QUERY"}

// spanName is the method, because a proxy knows no routes; the conventions forbid the path.
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

// redact hides the values of the query parameters that are credentials (conventions for url.full).
func redact(query string) string {
	if !strings.ContainsAny(query, "sSXA") {
		return query
	}
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		name, _, ok := strings.Cut(pair, "=")
		if ok && secretParameter(name) {
			pairs[i] = name + "=REDACTED"
		}
	}
	return strings.Join(pairs, "&")
}

func secretParameter(name string) bool {
	switch strings.ToLower(name) {
	case "sig", "signature", "awsaccesskeyid", "x-goog-signature", "x-amz-signature", "x-amz-credential", "x-amz-security-token":
		return true
	}
	return false
}
