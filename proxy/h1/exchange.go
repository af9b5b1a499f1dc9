package h1

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// What parse found in the buffer.
const (
	incomplete = iota
	parsed
	refused
	preface
)

// http2Preface is what an HTTP/2 client with prior knowledge begins with: RFC 9113 section 3.4.
const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// exchange is all that a connection needs while it is not idle. It is taken when the first byte is there and given back
// before the connection waits for the next request; its parts are reused, so a handler keeps nothing of them.
type exchange struct {
	conn     *conn
	in       input
	head     block
	request  http.Request
	pristine *http.Request // empty, with the context
	context  *requestContext
	url      url.URL
	body     body
	writer   writer
	codings  [1]string
	answer   answer // of the backend; in use from its head on
	minor    int    // of the request's HTTP/1 version
}

func newExchange() *exchange {
	x := &exchange{}
	x.in.buf = make([]byte, firstBuffer)
	x.writer.header = make(http.Header, smallMap)
	x.writer.out = make([]byte, 0, 4<<10)
	x.renew()
	return x
}

// renew replaces a context that somebody may still hold.
func (x *exchange) renew() {
	x.context = &requestContext{}
	x.pristine = (&http.Request{}).WithContext(x.context)
}

// attach makes the exchange a connection's.
func (x *exchange) attach(c *conn) {
	x.conn, x.body.conn, x.writer.conn = c, c, c
	x.in.from = c
}

// detach makes it nobody's and lets go of what one large message needed.
func (x *exchange) detach() {
	x.in.reset()
	x.head.reset()
	x.request = http.Request{}
	if x.answer.Header != nil {
		x.answer = answer{}
	}
	x.url = url.URL{}
	x.writer.release()
	x.conn, x.body.conn, x.writer.conn, x.in.from = nil, nil, nil, nil
}

// parse takes the next request's head off the buffer.
func (c *conn) parse() int {
	x := c.x
	if c.fresh && x.in.buffered() > 0 {
		if found := c.prefaceIn(x.in.bytes()); found != parsed {
			return found
		}
	}
	if bytes.HasPrefix(x.in.bytes(), crlf) && !x.skipped() {
		return incomplete
	}
	end, err := headEnd(x.in.bytes())
	limit := c.server.headLimit()
	switch {
	case err == nil && (end > limit || end == 0 && x.in.buffered() >= limit):
		err = tooLarge(x.in.bytes()[:limit])
	case err == nil && end == 0:
		return incomplete
	case err == nil:
		err = x.read(string(x.in.bytes()[:end-2]))
		x.in.skip(end)
	}
	if err != nil {
		c.refuse(err)
		return refused
	}
	c.fresh = false
	return parsed
}

// skipped drops one empty line before a request line (RFC 9112 section 2.2) and says whether anything is left.
func (x *exchange) skipped() bool {
	x.in.skip(len(crlf))
	return x.in.buffered() > 0
}

// prefaceIn says whether a connection's first bytes are HTTP/2's; parsed means that they are not.
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

// read makes a request of a head.
func (x *exchange) read(head string) *refusal {
	method, target, minor, fields, err := requestLine(head)
	if err != nil {
		return err
	}
	x.minor = minor
	x.head.reset()
	if err := x.head.parse(fields); err != nil {
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

// routing refuses what peers read in different ways: who the request is for and where it ends.
func (x *exchange) routing() *refusal {
	h := &x.head
	switch {
	case h.hosts > 1, h.hosts == 0 && x.minor == 1:
		return malformed("missing or repeated Host")
	case h.hosts == 1 && !validHost(h.host):
		return malformed("bad Host")
	case h.lengths > 0 && h.codings > 0:
		return malformed("both Content-Length and Transfer-Encoding")
	case h.codings > 0 && x.minor == 0:
		return malformed("Transfer-Encoding in HTTP/1.0")
	case h.expect != "" && x.minor == 1 && !equalFold(h.expect, "100-continue"):
		return &refusal{http.StatusExpectationFailed, "unknown expectation"}
	}
	return nil
}

// fill makes the http.Request, as net/http's server would.
func (x *exchange) fill(method, target, host string) {
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

// selfContained says that the exchange needs nothing of the connection but that its answer be written: all of the
// request is here, and no protocol is to be changed.
func (x *exchange) selfContained() bool {
	return x.body.whole() && !x.body.expects && !x.head.upgrade
}

// last says that the client has promised to send nothing after this request, and that all of it was read.
func (x *exchange) last() bool {
	return x != nil && x.request.Close && x.body.done && x.in.buffered() == 0
}

// run handles one request and says whether the connection can take another.
func (c *conn) run() (again bool) {
	x := c.x
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
	c.anew()
	return true
}

// endContext ends the request's context and replaces it if somebody may still hold it.
func (x *exchange) endContext() {
	if x.context.end() {
		x.renew()
	}
}

// handle calls the handler and survives it. http.ErrAbortHandler cuts the answer, as in net/http.
func (x *exchange) handle(h http.Handler) (panicked bool) {
	defer func() {
		if v := recover(); v != nil {
			panicked = true
			if v != http.ErrAbortHandler {
				panicked = !x.apologise(fmt.Sprintf("handler panicked: %v", v))
			}
		}
	}()
	h.ServeHTTP(&x.writer, &x.request)
	return false
}

// apologise answers 500 when nothing was said yet. It says whether it could.
func (x *exchange) apologise(reason string) bool {
	if x.conn.state.Load() == tunnel || x.writer.sent {
		x.conn.report(http.StatusInternalServerError, "", reason)
		return false
	}
	x.writer.reset(x)
	x.conn.refuse(&refusal{http.StatusInternalServerError, reason})
	x.writer.wrote, x.writer.committed, x.writer.closing, x.writer.length = true, true, true, -1
	return true
}
