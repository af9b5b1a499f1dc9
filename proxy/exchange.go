package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/affinity"
	"github.com/pillion-lb/pillion/proxy/auth"
	"github.com/pillion-lb/pillion/proxy/backend"
	"github.com/pillion-lb/pillion/proxy/edge"
	"github.com/pillion-lb/pillion/proxy/limit"
	"github.com/pillion-lb/pillion/proxy/tunnel"
	"github.com/pillion-lb/pillion/proxy/wire"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// exchange is one request on its way through the proxy, from ServeHTTP to the
// record. It has one struct for each part of the way. Exchanges are pooled, so
// nothing of an exchange may be used after end.
type exchange struct {
	p       *Proxy
	service *backend.Service
	record  Record

	clientRequest
	routeState
	requestBody
	carrier
	attempts
	caching
	mirroring
	compressing
	hedging
	reply
	spans

	texts wire.Texts // memory for ids and trace contexts
}

// clientRequest is what the client asks for. begin and clean write it; after
// that it is read-only.
type clientRequest struct {
	r   *http.Request
	hop edge.Hop // what is believed of the client, and the fields that every attempt sends
	// Names of the announced trailers, taken before the first attempt. See
	// "Ownership" in package wire.
	trailers   []string
	cookies    [4]string      // memory for the values of the affinity cookie
	stream     *tunnel.Stream // of an extended CONNECT for a WebSocket
	upgrade    bool           // it asks for a WebSocket
	reserved   bool           // memory for a tunnel was taken from the budget
	inFlight   bool           // it counts for LB_CLIENT_IN_FLIGHT
	limitWait  limit.Wait     // for the store of limits
	grpc       bool
	who        *auth.Identity // the identity that a gate has verified; nil for none
	repeatable bool           // it may be sent twice
	deadline   time.Time      // zero is none
}

// requestBody is the request's body as the attempts read it.
type requestBody struct {
	body  *replayBody // nil without a body, and when the transport moves the body without copying
	spare *replayBody // from an earlier request
}

// attempts is the state of the attempt loop.
type attempts struct {
	claim   backend.Claim
	place   backend.Place   // of the attempt in progress, or of the last one
	placed  bool            // the place has to be released
	call    wire.Call       // of the attempt in progress, or of the last one
	head    backend.Outcome // what was reported at its response head; zero if nothing was
	shared  wire.Call       // the part that all attempts have in common
	common  *wire.Call      // the same, as it was given to Send
	free    int             // attempts in a row that sent nothing
	retries int             // attempts that were paid for from the retry budget
	class   retryClass      // why the next attempt is allowed
	last    ending          // how the request ends if no attempt follows
	cause   error           // the error behind last
}

// reply is the way of the answer to the client.
type reply struct {
	w       http.ResponseWriter
	inform  func(int, http.Header) // x.informational, bound once per pooled exchange
	started bool                   // the head of the answer was given to the writer
}

// spans is what the request records in a trace.
type spans struct {
	trace edge.Trace
	span  trace.Span // SERVER span; nil when not recorded
	// Memory for the attributes of a span. It is empty between uses, because a
	// span copies what it gets.
	attrs  []attribute.KeyValue
	ctx    context.Context // carries the SERVER span
	client trace.Span      // CLIENT span of the attempt
	began  time.Time       // when the attempt began
}

var exchanges = sync.Pool{New: func() any {
	x := new(exchange)
	x.inform = x.informational
	x.attrs = make([]attribute.KeyValue, 0, 24)
	x.hop.Fields = make([]wire.Field, 0, 24)
	return x
}}

// begin starts an exchange for a request.
func (x *exchange) begin(p *Proxy, w http.ResponseWriter, r *http.Request) {
	x.p, x.w, x.r = p, w, r
	x.route = p.routing.only
	x.service = x.route.service
	x.record = Record{
		Start: time.Now(), Method: r.Method, Host: r.Host, Target: r.RequestURI, Protocol: r.Proto,
		Agent: first(r.Header, "User-Agent"),
	}
	p.active.Add(1)
	if p.tracing != nil {
		p.tracing.RequestStarted()
	}

	x.hop.Secure, x.hop.Host = r.TLS != nil, r.Host
	p.edge.Believe(&x.hop, r.RemoteAddr, r.Header)
	x.record.Peer, x.record.Client, x.record.Scheme = x.hop.Peer, x.hop.Client, x.hop.Scheme()
	x.upgrade = x.translate(r) || wantsWebSocket(r)
	x.repeatable = repeatable(r)
	x.trailers = wire.TrailerNames(r.Trailer)
	x.grpc = r.ProtoMajor == 2 && !x.upgrade &&
		strings.HasPrefix(first(r.Header, "Content-Type"), "application/grpc")

	x.claim.Context, x.claim.Start = r.Context(), x.record.Start
	x.claim.Upgrade, x.claim.GRPC = x.upgrade, x.grpc
}

// end writes the request's record to its span, to the metrics and to the log,
// and gives the exchange back to the pool.
func (x *exchange) end() {
	x.release() // a panic may have left the place taken
	if x.winner != nil {
		x.endHedge()
	}

	x.completeRecord()
	x.report()
	x.giveBack()
	x.recycle()
}

// completeRecord fills in the parts of the record that are known at the end.
func (x *exchange) completeRecord() {
	p := x.p

	// The clock is read only if the duration is used.
	if p.access != nil || p.metrics != nil || x.span != nil || p.history != nil {
		x.record.Duration = time.Since(x.record.Start)
	}

	x.record.Cookie = string(x.claim.Session.State)
	if x.record.Cookie == string(affinity.Forged) {
		x.p.hintForged()
	}
	if x.copy != nil {
		x.endMirror()
	}
	x.noteCache()
	x.noteCoding()
	if x.body != nil {
		x.record.BytesIn = x.body.size()
	} else if x.record.Attempts > 0 && x.record.BytesIn == 0 {
		x.record.BytesIn = max(0, x.r.ContentLength)
	}
}

// report writes the record to the span, the metrics, the history and the log.
func (x *exchange) report() {
	p := x.p
	x.finishSpan()
	if p.metrics != nil {
		p.metrics.request(x)
	}
	if p.history != nil {
		x.remember()
	}
	if p.access != nil && (p.cfg.Process.AccessLog != config.AccessErrors || x.record.Notable()) {
		p.access(&x.record)
	}
}

// giveBack ends what the request has counted or taken from others.
func (x *exchange) giveBack() {
	p := x.p
	p.active.Add(-1)
	x.leaveInFlight()
	if x.reserved {
		p.budget.Give(tunnelMemory)
	}
	if p.tracing != nil {
		p.tracing.RequestEnded()
	}

	if x.lookup != nil {
		x.lookup.Release()
	}
	if x.coder != nil {
		x.coder.Release()
	}
}

// recycle clears the exchange and returns it to the pool, with the memory that
// the next request can use.
func (x *exchange) recycle() {
	inform, spare, attrs, fields, claim := x.inform, x.keepBody(), x.attrs, x.hop.Fields, &x.claim
	asked, texts := x.asked, x.texts
	if asked != nil {
		asked.Reset()
	}
	claim.Reset()
	clear(fields)
	kept := *claim

	// Cleared in place: a composite literal with some old values would be built
	// elsewhere and copied.
	*x = exchange{}
	x.inform, x.spare, x.attrs, x.hop.Fields, x.claim = inform, spare, attrs, fields[:0], kept
	x.asked, x.texts = asked, texts
	exchanges.Put(x)
}

// refused answers the requests that must not go to a backend.
func (x *exchange) refused() bool {
	switch {
	case extended(x.r):
		x.fail(ending{http.StatusNotImplemented, "us", "request"}, errOtherProtocol)
	case x.r.Method == http.MethodConnect || x.r.Method == http.MethodTrace:
		x.fail(ending{http.StatusMethodNotAllowed, "us", "request"}, errMethod)
	case x.p.edge.Looped(x.r.Header):
		x.fail(ending{http.StatusLoopDetected, "us", "request"}, errLoop)
	default:
		return false
	}

	return true
}

// The causes of errors that Pillion answers by itself, for the log.
var (
	errMethod     = errors.New("method is not served by a proxy")
	errLoop       = errors.New("a loop: the request came through this balancer before")
	errTooLarge   = errors.New("request body is larger than LB_MAX_BODY_BYTES")
	errNoBackend  = errors.New("no backend")
	errDeadline   = errors.New("LB_REQUEST_TIMEOUT leaves no time for another attempt")
	errClientGone = errors.New("the client left")
)

// bodyFor gives the attempt its body. As a rule this is an attemptBody, which
// keeps what is read for the next attempt. A body that no other attempt can
// need is left to the transport, which moves it without copying.
func (x *exchange) bodyFor(c *wire.Call) {
	if !x.hasBody() {
		return
	}

	limit, most := x.route.Retry.Buffer, x.route.MaxBodyBytes
	if x.r.ContentLength > 0 {
		most = 0 // the length was compared already
	}

	if x.body == nil {
		if most == 0 && x.copy == nil && x.direct(limit) {
			return
		}
		if x.body = x.spare; x.body == nil {
			x.body = new(replayBody)
		}

		x.body.kept.budget = x.p.budget
		x.body.reset(x.r.Body, x.r.ContentLength, limit, most)
		if x.copy != nil {
			x.body.whole = x.copy.start
		}
	}

	c.Body = x.body.attempt()
}

// hasBody reports whether the head of the request announces a body.
func (x *exchange) hasBody() bool {
	return x.r.Body != nil && x.r.Body != http.NoBody && x.r.ContentLength != 0
}

// direct reports whether the transport may take the client's body itself. Both
// sides must be of package h1, which waits for the reader of its own bodies.
// And keeping the body must be useless: it is larger than the limit, or the
// transport sends it in one piece with the head and leaves it untouched if
// nothing was sent.
func (x *exchange) direct(limit int64) bool {
	if !x.place.MovesBody() || x.r.ProtoMajor != 1 {
		return false
	}
	if x.r.ContentLength > limit {
		return true
	}

	m, ok := x.r.Body.(interface{ Len() int })

	return ok && !x.repeatable && int64(m.Len()) == x.r.ContentLength
}

// bodyLeft reports whether another attempt could send the body from its start.
func (x *exchange) bodyLeft(class retryClass) bool {
	switch {
	case !x.hasBody():
		return true
	case x.body != nil && class == byStatus:
		return x.body.complete() // the upload may still go on
	case x.body != nil:
		x.body.closeCurrent() // so that nothing is read meanwhile
		return x.body.replayable()
	}

	return class == notSent && !begun(x.r.Body)
}

// begun reports whether a transport that was given a client's body itself has
// read any of it.
func begun(body io.Reader) bool {
	b, ok := body.(interface{ Begun() bool })

	return ok && b.Begun()
}

// keepBody returns a replayBody that the next request can use. After it,
// nothing reads the body of this request.
func (x *exchange) keepBody() *replayBody {
	if x.body == nil {
		return x.spare
	}

	x.body.release()
	x.body.kept.clear()

	return x.body
}

func first(h http.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// path returns the request's escaped path (RFC 3986 section 3.3) and query. It
// does not rely on the server to have filled in URL.
func (x *exchange) path() (path, query string) {
	u := x.r.URL
	if u == nil {
		var err error
		if u, err = url.ParseRequestURI(x.r.RequestURI); err != nil {
			return "", ""
		}
	}

	return u.EscapedPath(), u.RawQuery
}
