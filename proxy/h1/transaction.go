package h1

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// The results of parse.
const (
	incomplete = iota
	parsed
	refused
	preface
)

// http2Preface is the first bytes of an HTTP/2 client with prior knowledge (RFC
// 9113 section 3.4).
const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// transaction holds what a connection needs while it is not idle. A connection
// takes one with the first byte of a request, and gives it back before it waits
// for the next request. Its parts are reused, so a handler must not keep them.
type transaction struct {
	conn     *conn
	paid     bool // the budget has granted its memory
	in       input
	scan     headScan // of the head that is awaited
	head     block
	request  http.Request
	pristine *http.Request // empty, with the context
	context  *requestContext
	url      url.URL
	body     body
	writer   writer
	codings  [1]string
	answer   answer // of the backend; used from its head on
	minor    int    // of the request's HTTP/1 version

	pipelined bool // another request came with this one
}

func newTransaction() *transaction {
	x := &transaction{}
	x.in.buf = make([]byte, firstBuffer)
	x.writer.header = make(http.Header, smallMap)
	x.writer.out = make([]byte, 0, 4<<10)
	x.renew()

	return x
}

// renew replaces a context that a caller may still hold.
func (x *transaction) renew() {
	x.context = &requestContext{}
	x.pristine = (&http.Request{}).WithContext(x.context)
}

// attach gives the transaction to a connection.
func (x *transaction) attach(c *conn) {
	x.conn, x.body.conn, x.writer.conn = c, c, c
	x.in.from, x.in.budget, x.in.grown = c, c.server.Budget, &c.grown
}

// detach takes the transaction from its connection, and drops what one large
// message needed.
func (x *transaction) detach() {
	x.in.reset()
	x.scan = headScan{}
	x.head.reset()
	x.request = http.Request{}
	if x.answer.Header != nil {
		x.answer = answer{}
	}

	x.url = url.URL{}
	x.writer.release()
	x.conn, x.body.conn, x.writer.conn, x.in.from, x.in.grown = nil, nil, nil, nil, nil
}

// parse takes the next request's head from the buffer.
func (c *conn) parse() int {
	x := c.x
	if c.fresh && x.in.buffered() > 0 {
		if found := c.prefaceIn(x.in.bytes()); found != parsed {
			return found
		}
		if startsTLS(x.in.bytes()) {
			c.refuse(speaksTLS)
			return refused
		}
	}

	if bytes.HasPrefix(x.in.bytes(), crlf) && !x.skipped() {
		return incomplete
	}

	end, err := x.scan.end(x.in.bytes())
	limit := c.server.headLimit()
	switch {
	case err == nil && (end > limit || end == 0 && x.in.buffered() >= limit):
		err = tooLarge(x.in.bytes()[:limit])
	case err == nil && end == 0:
		return incomplete
	case err == nil:
		err = x.read(x.head.past.text(x.in.bytes()[:end-2]))
		x.in.skip(end)
	}

	if err != nil {
		c.refuse(err)
		return refused
	}

	length := x.request.ContentLength
	x.pipelined = length >= 0 && int64(x.in.buffered()) > length

	if c.fresh {
		c.fresh = false
		c.awaits.served.Store(true)
	}

	return parsed
}

// skipped drops one empty line before a request line (RFC 9112 section 2.2),
// and reports whether anything is left.
func (x *transaction) skipped() bool {
	x.in.skip(len(crlf))
	x.scan = headScan{}
	return x.in.buffered() > 0
}

// prefaceIn reports whether the first bytes of a connection are those of
// HTTP/2. parsed means that they are not.
func (c *conn) prefaceIn(b []byte) int {
	switch {
	case len(b) < len(http2Preface) && strings.HasPrefix(http2Preface, string(b)):
		return incomplete
	case len(b) < len(http2Preface) || string(b[:len(http2Preface)]) != http2Preface:
		return parsed
	case c.server.HTTP2 == nil:
		c.refuse(&refusal{http.StatusHTTPVersionNotSupported, "HTTP/2"})
		return refused
	}

	return preface
}

// read makes a request from a head.
func (x *transaction) read(head string) *refusal {
	method, target, minor, fields, err := requestLine(head)
	if err != nil {
		return err
	}

	x.minor = minor
	x.head.reset()
	if err := x.head.parse(head, fields); err != nil {
		return err
	}

	host, err := parseTarget(&x.url, method, target)
	if err != nil {
		return err
	}
	if err := x.routing(); err != nil {
		return err
	}

	if host == "" {
		host = x.head.host
	}

	x.fill(method, target, host)
	return nil
}

// routing refuses what implementations read in different ways: the host of a
// request, and its end.
func (x *transaction) routing() *refusal {
	h := &x.head
	switch {
	case h.hosts > 1, h.hosts == 0 && x.minor == 1:
		return malformed("missing or repeated Host")
	case h.hosts == 1 && !wire.ValidHost(h.host):
		return malformed("bad Host")
	case h.lengths > 0 && h.codings > 0:
		return malformed("both Content-Length and Transfer-Encoding")
	case h.codings > 0 && x.minor == 0:
		return malformed("Transfer-Encoding in HTTP/1.0")
	case h.expect != "" && x.minor == 1 && !wire.EqualFold(h.expect, "100-continue"):
		return &refusal{http.StatusExpectationFailed, "unknown expectation"}
	}

	return nil
}

// fill sets the fields of the http.Request as net/http's server would.
func (x *transaction) fill(method, target, host string) {
	h, r, c := &x.head, &x.request, x.conn
	*r = *x.pristine
	r.Method, r.RequestURI, r.URL, r.Host = method, target, &x.url, host
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	r.Header, r.TLS, r.RemoteAddr = h.header, c.tls, c.remoteAddr()
	if x.minor == 0 {
		r.Proto, r.ProtoMinor = "HTTP/1.0", 0
	}

	r.Close = h.close || x.minor == 0 && !h.keepAlive
	framing, length := noBody, int64(0)
	switch {
	case h.chunked:
		framing, length = byChunks, -1
		r.TransferEncoding = append(x.codings[:0], "chunked")
		r.Trailer = h.trailer()
	case h.length > 0:
		framing, length = byLength, h.length
	}

	r.ContentLength = length
	x.body.reset(framing, length, c.server.headLimit())
	r.Body = &x.body
	if framing == noBody {
		r.Body = http.NoBody
	}

	x.body.expects = h.expect != "" && x.minor == 1 && framing != noBody
	x.writer.reset(x)
}

// selfContained reports whether the transaction needs the connection only to
// write the answer: all of the request has come, and it asks for no upgrade.
func (x *transaction) selfContained() bool {
	return x.body.whole() && !x.body.expects && !x.head.upgrade
}

// expectsLast reports whether a client that has ended its direction may be
// there still: it has announced that this request is its last, or it has sent
// others behind this one, which may announce it.
func (x *transaction) expectsLast() bool { return x.request.Close || x.pipelined }

// last reports whether the client has announced that this request is the last
// one, and all of it was read.
func (x *transaction) last() bool {
	return x != nil && x.request.Close && x.body.done && x.in.buffered() == 0
}

// run handles one request. It reports whether the connection can take another.
func (c *conn) run() (again bool) {
	x := c.x
	if !c.awaits.begins() {
		return false
	}

	c.warm = true
	x.context.begin(c)
	panicked := x.handle(c.server.Handler)
	if c.state.Load() == tunnel {
		x.endContext()
		return false
	}

	x.body.Close()
	if panicked {
		x.writer.cut = true
	} else {
		x.writer.finish()
	}

	x.endContext()
	if x.writer.cut || x.writer.closing || x.writer.err != nil {
		return false
	}
	if !x.body.drain() {
		return false
	}

	c.restartWait()
	return true
}

// endContext ends the request's context, and replaces it if a caller may still
// hold it.
func (x *transaction) endContext() {
	if x.context.end() {
		x.renew()
	}
}

// handle calls the handler and recovers from its panics. http.ErrAbortHandler
// cuts the answer, as in net/http.
func (x *transaction) handle(h http.Handler) (panicked bool) {
	defer func() {
		if v := recover(); v != nil {
			panicked = true
			if v != http.ErrAbortHandler {
				panicked = !x.replyInternalError(fmt.Sprintf("handler panicked: %v", v))
			}
		}
	}()
	h.ServeHTTP(&x.writer, &x.request)

	return false
}

// replyInternalError answers 500 if nothing was answered yet, and reports
// whether it did.
func (x *transaction) replyInternalError(reason string) bool {
	if x.conn.state.Load() == tunnel || x.writer.sent {
		x.conn.report(http.StatusInternalServerError, "", reason)
		return false
	}

	x.writer.reset(x)
	x.conn.refuse(&refusal{http.StatusInternalServerError, reason})
	x.writer.wrote, x.writer.headWritten, x.writer.closing, x.writer.length = true, true, true, -1

	return true
}
