package h2

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/proxy/h1"
)

// Send makes one exchange and never repeats it. The error is an *h1.Error. The response belongs to the caller until its
// Body is closed.
func (t *Transport) Send(r *http.Request, c *h1.Call) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	x := &exchange{call: c, patience: c.ResponseTimeout, stall: t.StallTimeout, cancel: cancel, cause: func() error { return context.Cause(ctx) }}
	if !c.Deadline.IsZero() {
		x.deadline = time.AfterFunc(time.Until(c.Deadline), func() { cancel(errTimeout) })
	}
	conn, reused, err := t.reserve(ctx)
	if err != nil {
		e := x.connectError(err, r.Context())
		x.finish()
		return nil, e
	}
	c.Reused = reused
	out := x.request(httptrace.WithClientTrace(ctx, x.trace()), r, t)
	resp, err := conn.RoundTrip(out)
	x.leave()
	if err != nil {
		e := x.error(err, r.Context())
		x.finish()
		return nil, e
	}
	if err := h1.UnambiguousResponse(resp); err != nil {
		x.begun.Store(true)
		x.finish()
		resp.Body.Close()
		return nil, &h1.Error{Outcome: h1.Broken, Phase: h1.Head, Err: err}
	}
	x.stopTimer()
	c.FirstByte = time.Now()
	b := &body{source: resp.Body, x: x, client: r.Context()}
	if resp.StatusCode == http.StatusNotModified || resp.StatusCode == http.StatusNoContent {
		b.none, resp.ContentLength = true, 0
	}
	if resp.ContentLength > 0 {
		b.stall = x.stalled(func() bool { return true })
	}
	resp.Body = b
	return resp, nil
}

var errSwitch = errors.New("switching protocols in HTTP/2")

// exchange is what a request needs until its response body is closed.
type exchange struct {
	call     *h1.Call      // the caller's again when Send has failed, so net/http's goroutines must not touch it then
	patience time.Duration // from the last byte of the request to the head of the response; 0 is no limit
	stall    time.Duration // no progress of the body, either way; 0 is no limit
	upload   *time.Timer   // of the request body until the response begins: a backend that answers may read as it likes
	cancel   context.CancelCauseFunc
	cause    func() error // why the exchange's context ended
	deadline *time.Timer
	response atomic.Pointer[time.Timer]
	written  atomic.Int64 // Unix nanoseconds
	sent     atomic.Bool  // the head is on its way
	begun    atomic.Bool  // a byte of a response came, be it of a 1xx
	headed   atomic.Bool  // there is nothing to wait for any more: the final head is here, or will never be
	bodyErr  atomic.Pointer[h1.Error]

	mu       sync.Mutex // held while a 1xx is passed on
	returned bool       // RoundTrip has
	ending   sync.Mutex // held while the caller's request is read beside its body
	finished bool       // the request is no longer ours to read
}

// leave waits for a 1xx that is being passed on and lets no other follow.
func (x *exchange) leave() {
	x.mu.Lock()
	x.returned = true
	x.mu.Unlock()
}

// trace notes how far the exchange is and passes 1xx responses on.
func (x *exchange) trace() *httptrace.ClientTrace {
	t := &httptrace.ClientTrace{
		WroteHeaders:         func() { x.sent.Store(true) },
		GotFirstResponseByte: func() { x.begun.Store(true) },
		WroteRequest: func(httptrace.WroteRequestInfo) {
			x.written.Store(time.Now().UnixNano())
			x.moved(x.upload)
			x.awaitHead()
		},
	}
	t.Got1xxResponse = func(code int, h textproto.MIMEHeader) error {
		x.begun.Store(true)
		if code == http.StatusSwitchingProtocols {
			return errSwitch // HTTP/2 has none (RFC 9113 section 8.6), and a client on HTTP/1.1 would switch
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		if !x.returned && x.call.Informational != nil {
			x.call.Informational(code, http.Header(h))
		}
		return nil
	}
	return t
}

// request is the attempt's own request: net/http may read it until the response body is closed, so nothing of it is
// shared with what the caller reuses.
func (x *exchange) request(ctx context.Context, r *http.Request, t *Transport) *http.Request {
	host := t.Address // an HTTP/1.0 client may have given none
	switch {
	case x.call.Host != "":
		host = x.call.Host
	case r.Host != "":
		host = r.Host
	}
	header := make(http.Header, len(r.Header)+len(x.call.Fields))
	values := make([]string, 0, len(r.Header)+len(x.call.Fields)) // room for nearly all of them, in one piece
	for k, v := range r.Header {
		if k != "Expect" {
			n := len(values)
			values = append(values, v...)
			header[k] = values[n:len(values):len(values)]
		}
	}
	for _, f := range x.call.Fields {
		if f.Value == "" {
			delete(header, f.Name)
		} else {
			values = append(values, f.Value)
			header[f.Name] = values[len(values)-1 : len(values) : len(values)]
		}
	}
	if header["User-Agent"] == nil {
		header["User-Agent"] = nil // or net/http would add its own
	}
	out := (&http.Request{
		Method: r.Method, URL: target(r, host, t.TLS != nil), Host: host, Header: header,
		Proto: "HTTP/2.0", ProtoMajor: 2, Trailer: maps.Clone(r.Trailer), ContentLength: r.ContentLength,
	}).WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0 {
		var source io.ReadCloser = r.Body
		if x.call.Body != nil {
			source = x.call.Body
		}
		if out.Trailer == nil && r.ProtoMajor == 1 && r.ContentLength < 0 {
			out.Trailer = make(http.Header) // net/http looks for trailers at the end only where there may be some
		}
		out.Body = &requestBody{source: source, x: x, from: r, trailer: out.Trailer}
		x.upload = x.stalled(func() bool { return !x.begun.Load() })
	}
	return out
}

// target keeps the bytes of the request target: an opaque URL is sent as it is.
func target(r *http.Request, host string, secure bool) *url.URL {
	scheme := "http"
	if secure {
		scheme = "https"
	}
	path := r.RequestURI
	if !strings.HasPrefix(path, "/") && path != "*" {
		path = r.URL.RequestURI()
		if r.Method == http.MethodOptions && r.URL.Path == "" && path == "/" {
			path = "*" // RFC 9112 section 3.2.4
		}
	}
	if path == "*" {
		return &url.URL{Scheme: scheme, Host: host, Path: "*"}
	}
	return &url.URL{Scheme: scheme, Host: host, Opaque: "//" + host + path}
}

// copyTrailer takes the trailers of a request that was read to its end, unless the exchange is over: its caller may use
// the request for the next one then.
func (x *exchange) copyTrailer(to http.Header, from *http.Request) {
	x.ending.Lock()
	defer x.ending.Unlock()
	if !x.finished {
		maps.Copy(to, from.Trailer)
	}
}

// finish frees the exchange's timers and context.
func (x *exchange) finish() {
	x.ending.Lock()
	x.finished = true
	x.ending.Unlock()
	x.stopTimer()
	x.moved(x.upload)
	if x.deadline != nil {
		x.deadline.Stop()
	}
	x.cancel(nil)
	if n := x.written.Load(); n != 0 {
		x.call.Written = time.Unix(0, n)
	}
}

// stalled returns a timer that ends the exchange when it is started, nothing moves for too long, and that still matters;
// nil without a limit.
func (x *exchange) stalled(matters func() bool) *time.Timer {
	if x.stall <= 0 {
		return nil
	}
	t := time.AfterFunc(x.stall, func() {
		if matters() {
			x.cancel(errTimeout)
		}
	})
	t.Stop()
	return t
}

// waits starts such a timer.
func (x *exchange) waits(t *time.Timer) {
	if t != nil {
		t.Reset(x.stall)
	}
}

// moved stops it.
func (x *exchange) moved(t *time.Timer) {
	if t != nil {
		t.Stop()
	}
}

// awaitHead starts the response timer, unless the final head came before the end of the request. One of awaitHead and
// stopTimer, which may run meanwhile, sees what the other did.
func (x *exchange) awaitHead() {
	if x.patience <= 0 || x.headed.Load() {
		return
	}
	t := time.AfterFunc(x.patience, func() { x.cancel(errTimeout) })
	x.response.Store(t)
	if x.headed.Load() {
		t.Stop()
	}
}

func (x *exchange) stopTimer() {
	x.begun.Store(true)
	x.headed.Store(true)
	if t := x.response.Load(); t != nil {
		t.Stop()
	}
	if n := x.written.Load(); n != 0 {
		x.call.Written = time.Unix(0, n)
	}
}

// requestBody remembers what the client's side did wrong, because net/http hides it behind a stream error.
type requestBody struct {
	source  io.ReadCloser
	x       *exchange
	from    *http.Request // whose trailers are there at the end of its body, those that it did not announce among them
	trailer http.Header   // of what is sent; nil where none can come
	reading atomic.Bool
	closed  atomic.Bool // of a Read that begins and a Close, one sees the other
}

// Read is called when what was read before is with the backend; between two calls, and from the last one until all is
// written, the stall timeout runs.
func (b *requestBody) Read(p []byte) (int, error) {
	b.x.moved(b.x.upload)
	b.reading.Store(true)
	if b.closed.Load() {
		b.reading.Store(false)
		return 0, io.ErrClosedPipe
	}
	n, err := b.source.Read(p)
	b.reading.Store(false)
	if err == io.EOF && b.trailer != nil {
		b.x.copyTrailer(b.trailer, b.from)
	}
	if b.x.written.Load() == 0 {
		b.x.waits(b.x.upload)
	}
	if err != nil && err != io.EOF && !errors.Is(err, io.ErrClosedPipe) { // which is net/http, done with a lost connection
		if e, ok := errors.AsType[*h1.Error](err); ok {
			b.x.bodyErr.Store(e)
		} else {
			b.x.bodyErr.Store(&h1.Error{Outcome: h1.NoAnswer, Phase: h1.Write, Client: h1.Gone, Err: err})
		}
	}
	return n, err
}

// Close closes the body of the client's request. While it is being read, only a lost stream or connection is a reason for
// net/http to close it, and RoundTrip would then wait for that read, which lasts until the client says something: a quiet
// caller would not hear that the backend died. The end of the context spares it the wait, but would also take the place
// of the true cause if it came first.
func (b *requestBody) Close() error {
	b.closed.Store(true)
	if b.reading.Load() && !b.x.begun.Load() {
		time.AfterFunc(afterCause, func() { b.x.cancel(errLost) })
	}
	return b.source.Close()
}

// afterCause is what RoundTrip has to see why its stream was lost before the context ends.
const afterCause = 10 * time.Millisecond

var errLost = errors.New("stream lost")

// body is a response body whose errors are typed.
type body struct {
	source io.ReadCloser
	x      *exchange
	client context.Context
	stall  *time.Timer // of a body of known length
	none   bool        // the status says that there is none, and a Content-Length is another answer's (RFC 9110 section 8.6)
}

// Read reads on, for as long as the backend makes progress. An error other than io.EOF is an *h1.Error.
func (b *body) Read(p []byte) (int, error) {
	if b.none {
		return 0, io.EOF
	}
	b.x.waits(b.stall)
	n, err := b.source.Read(p)
	b.x.moved(b.stall)
	if err != nil && err != io.EOF {
		e := b.x.error(err, b.client)
		e.Outcome, e.Phase = h1.Broken, h1.Body
		err = e
	}
	return n, err
}

// Close gives the response up. It does not wait for a request body that is still being read: a backend may end its
// answer first, and then nothing more may come from a client that waits for our end. net/http's Close waits for that
// read unless the request's context has ended, so the context ends first.
func (b *body) Close() error {
	b.x.finish()
	return b.source.Close()
}
