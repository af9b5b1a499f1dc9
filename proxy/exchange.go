package proxy

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/pillion-lb/pillion/proxy/h1"
)

// maxFree is how many endpoints beyond the first are asked when nothing was sent to those before.
const maxFree = 3

// exchange is one request on its way: what it asks, what was tried, what came of it. Exchanges are pooled, so nothing
// of them may be used after end.
type exchange struct {
	p      *Proxy
	w      http.ResponseWriter
	r      *http.Request
	record Record
	snap   *snapshot
	call   h1.Call
	inform func(int, http.Header) // informational, bound once per pooled exchange
	body   *replay                // nil without a body
	spare  *replay                // from an earlier request
	view   *view
	fields [16]h1.Field // what we say to the backend: the same in all attempts, then the attempt's own
	said   int          // how many are the same in all attempts

	trusted    bool   // the peer's forwarding fields count
	secure     bool   // the client's side is HTTPS
	clientHost string // Host as the client sent it, or as a trusted peer says
	upgrade    bool
	stream     *stream // of an extended CONNECT for a WebSocket
	grpc       bool
	repeatable bool
	started    bool // the response head was handed to the writer
	interim    bool // so was a 1xx, over HTTP/2: see header
	waited     bool // for backends, or in the queue
	deadline   time.Time

	tried   [2 + maxFree + 10]*endpoint
	ntried  int
	free    int // attempts after which nothing was sent
	retries int // attempts that cost budget
	class   retryClass
	last    ending // of the last failed attempt
	cause   error

	cookies [4]string // values of our cookie in the request
	verdict cookieState
	binding binding
	bound   *endpoint // of a valid cookie
	ring    *keyring
	reason  reason
	trial   bool

	trace  traceState
	span   trace.Span           // SERVER span; nil when not recorded
	attrs  []attribute.KeyValue // empty; where attributes are gathered for a span, which copies them
	ctx    context.Context
	client trace.Span // CLIENT span of the attempt
	began  time.Time  // when the attempt began
}

var exchanges = sync.Pool{New: func() any {
	x := new(exchange)
	x.inform = x.informational
	x.attrs = make([]attribute.KeyValue, 0, 24)
	return x
}}

// begin takes a request in.
func (x *exchange) begin(p *Proxy, w http.ResponseWriter, r *http.Request) {
	x.p, x.w, x.r = p, w, r
	x.record = Record{
		Start: time.Now(), Method: r.Method, Host: r.Host, Target: r.RequestURI, Protocol: r.Proto,
		Agent: first(r.Header, "User-Agent"),
	}
	p.active.Add(1)
	if p.tracing != nil {
		p.tracing.RequestStarted()
	}
	x.secure, x.record.Scheme = r.TLS != nil, "http"
	if x.secure {
		x.record.Scheme = "https"
	}
	x.clientHost = r.Host
	x.upgrade = x.translate(r) || wantsWebSocket(r)
	x.repeatable = repeatable(r)
	x.grpc = r.ProtoMajor == 2 && !x.upgrade && strings.HasPrefix(first(r.Header, "Content-Type"), "application/grpc")
	if t := p.cfg.Service.RequestTimeout; t > 0 {
		x.deadline = x.record.Start.Add(t)
	}
}

// end writes the request's record to span, metrics and log, and gives the exchange back.
func (x *exchange) end() {
	p := x.p
	if p.access != nil || p.metrics != nil || x.span != nil { // the clock is dear
		x.record.Duration = time.Since(x.record.Start)
	}
	x.record.Cookie = string(x.verdict)
	if x.body != nil {
		x.record.BytesIn = x.body.size()
	} else if x.record.Attempts > 0 && x.record.BytesIn == 0 {
		x.record.BytesIn = max(0, x.r.ContentLength)
	}
	x.finishSpan()
	if p.metrics != nil {
		p.metrics.request(x)
	}
	if p.access != nil {
		p.access(&x.record)
	}
	p.active.Add(-1)
	if p.tracing != nil {
		p.tracing.RequestEnded()
	}
	inform, spare, attrs := x.inform, x.keepBody(), x.attrs
	*x = exchange{} // in place: a literal with values of the old one would be made elsewhere and copied
	x.inform, x.spare, x.attrs = inform, spare, attrs
	exchanges.Put(x)
}

// refused answers what never goes to a backend.
func (x *exchange) refused() bool {
	switch {
	case extended(x.r):
		x.fail(ending{http.StatusNotImplemented, "us", "request"}, errOtherProtocol)
	case x.r.Method == http.MethodConnect || x.r.Method == http.MethodTrace:
		x.fail(ending{http.StatusMethodNotAllowed, "us", "request"}, errMethod)
	case x.p.looped(x.r.Header):
		x.fail(ending{http.StatusLoopDetected, "us", "request"}, errLoop)
	case x.p.cfg.Process.MaxBodyBytes > 0 && x.r.ContentLength > x.p.cfg.Process.MaxBodyBytes:
		x.fail(ending{http.StatusRequestEntityTooLarge, "us", "request"}, errTooLarge)
	default:
		return false
	}
	return true
}

// Causes of our own errors, for the log.
var (
	errMethod     = errors.New("method is not served by a proxy")
	errLoop       = errors.New("the request came through this balancer before: it is among its own backends")
	errTooLarge   = errors.New("request body is larger than LB_MAX_BODY_BYTES")
	errNoBackend  = errors.New("no backend")
	errNotFound   = errors.New("discovery has not answered yet")
	errStrict     = errors.New("the session's backend can't be used and LB_AFFINITY_STRICT is on")
	errDeadline   = errors.New("LB_REQUEST_TIMEOUT leaves no time for another attempt")
	errTimeout    = errors.New("LB_REQUEST_TIMEOUT ended the wait")
	errQueue      = errors.New("every backend has LB_MAX_IN_FLIGHT requests in flight")
	errClientGone = errors.New("the client left")
)

// serve tries endpoints until one answers or none is left.
func (x *exchange) serve() {
	if !x.ready() {
		return
	}
	if x.readCookie() {
		return
	}
	for {
		ep, done := x.pick()
		if done || ep != nil && x.attempt(ep) {
			return
		}
	}
}

// until is a context that also tells the request's own deadline, and is not cancelled by it: a derived context would
// have the request watched for its client's departure.
type until struct {
	context.Context
	deadline time.Time
}

// Deadline is the request's own.
func (u until) Deadline() (time.Time, bool) { return u.deadline, true }

// ready waits for the service's first set of backends, at most five seconds from the start of the request.
func (x *exchange) ready() bool {
	s := x.p.service
	if x.snap = s.view(x.record.Start); x.snap != nil {
		return true
	}
	x.waited = true
	limit := 5 * time.Second
	if !x.deadline.IsZero() {
		limit = min(limit, time.Until(x.deadline))
	}
	wait := time.NewTimer(limit)
	defer wait.Stop()
	select {
	case <-s.first:
		x.snap = s.view(time.Now())
		return true
	case <-wait.C:
		if x.expired() {
			return !x.fail(ending{http.StatusGatewayTimeout, "us", "discovery"}, errTimeout)
		}
		x.fail(ending{http.StatusServiceUnavailable, "us", "discovery"}, errNotFound)
	case <-x.r.Context().Done():
		x.fail(ending{statusClientGone, "client", "discovery"}, errClientGone)
	}
	return false
}

// bodyFor gives the attempt its body. What can't be repeated once it was sent, and goes where "nothing was sent" means
// that the body is untouched, is left to the transport, which moves it without copying. Everything else is read through
// a view that keeps what it reads for the next attempt.
func (x *exchange) bodyFor(up upstream, c *h1.Call) {
	if x.r.Body == nil || x.r.Body == http.NoBody || x.r.ContentLength == 0 {
		return
	}
	limit, max := x.p.cfg.Service.Retry.Buffer, x.p.cfg.Process.MaxBodyBytes
	if x.r.ContentLength > 0 {
		max = 0 // was compared with the length already
	}
	_, direct := up.(*h1.Transport)
	if x.body == nil && direct && max == 0 && (!x.repeatable || x.r.ContentLength > limit) {
		return
	}
	if x.body == nil {
		if x.body = x.spare; x.body == nil {
			x.body = new(replay)
		}
		x.body.reset(x.r.Body, x.r.ContentLength, limit, max)
	}
	if x.view != nil {
		x.view.Close()
	}
	x.view = &view{body: x.body} // a new one, because a transport may still hold the last
	c.Body = x.view
}

// bodyLeft reports whether another attempt could send the body from its start.
func (x *exchange) bodyLeft(class retryClass) bool {
	switch {
	case x.r.Body == nil || x.r.Body == http.NoBody || x.r.ContentLength == 0:
		return true
	case x.body != nil && class == byStatus:
		return x.body.complete() // the upload may go on while the answer is here
	case x.body != nil:
		x.view.Close() // nothing more is read while we decide
		return x.body.whole()
	}
	return class == notSent
}

// keepBody returns what can serve the next request's body: nothing where a transport still reads through this one.
func (x *exchange) keepBody() *replay {
	if x.body == nil {
		return x.spare
	}
	if x.view != nil {
		x.view.Close()
	}
	if !x.body.reading.TryLock() {
		return nil
	}
	defer x.body.reading.Unlock()
	x.body.source = nil
	return x.body
}

// say sets a field of the request in every attempt's overlay, in place of any that came with it.
func (x *exchange) say(name, value string) {
	x.fields[x.said] = h1.Field{Name: name, Value: value}
	x.said++
}

// origin is how the client addressed us.
func (x *exchange) origin() string {
	if x.secure {
		return "https://" + x.clientHost
	}
	return "http://" + x.clientHost
}

func first(h http.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// path returns the path, escaped as URLs have it (RFC 3986 section 3.3), and the query of the request without trusting
// that the server filled URL.
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
