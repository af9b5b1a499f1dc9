package h1

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

const (
	maxInline   = 64 << 10    // of a body in memory that goes out with the head
	expectation = time.Second // how long we wait for a backend's 100
	maxInterim  = 16          // 1xx responses before the final one
)

// exchange sends a request and returns the response when its head is here. After an error the link is closed, also when
// nothing was sent on it.
func (l *link) exchange(r *http.Request, c *Call) (*http.Response, error) {
	l.begin(r, c)
	if err := l.prepare(); err != nil {
		l.unsendable = true
		return nil, l.fail(err)
	}
	resp, err := l.roundTrip()
	l.spent()
	if err != nil {
		return nil, l.fail(err)
	}
	return resp, nil
}

// begin forgets the last exchange.
func (l *link) begin(r *http.Request, c *Call) {
	l.request, l.call, l.phase = r, c, Head
	l.client, l.writer, l.context, l.release = nil, nil, nil, nil
	l.writing, l.accepted, l.inline, l.own = true, 0, nil, nil
	l.up, l.failure, l.stalls, l.holdTo, l.flushAt = nil, nil, false, time.Time{}, time.Time{}
	l.unsendable = false
	l.in.reset()
	l.head.reset()
	switch ctx := r.Context().(type) {
	case *requestContext:
		l.client, l.writer = ctx.conn, &ctx.conn.x.writer
	default:
		if ctx.Done() != nil {
			l.context = ctx
			l.release = context.AfterFunc(ctx, func() { l.c.SetReadDeadline(past) })
		}
	}
}

// prepare makes the head, and decides how the body goes out: with the head when it is in memory, else by an upload.
func (l *link) prepare() (err error) {
	length := l.request.ContentLength
	if l.out, err = l.t.appendRequest(l.out[:0], l.request, l.call, length); err != nil || length == 0 {
		return err
	}
	content := io.ReadCloser(l.request.Body)
	if l.call.Body != nil {
		content = l.call.Body
	}
	if content == nil {
		return io.ErrUnexpectedEOF
	}
	if own, ok := content.(*body); ok && own.framing == byLength && own.whole() {
		l.own = own
		l.inline = own.in.bytes()[:own.left]
		if own.closed.Load() || own.left != length {
			return &Error{Client: BadBody, Err: io.ErrUnexpectedEOF}
		}
		return nil
	}
	if m, ok := content.(interface{ Len() int }); ok && length <= maxInline && int64(m.Len()) == length {
		return l.readInline(content, int(length))
	}
	l.up = newUpload(l, content, length)
	if expects(l.request) {
		l.up.gate = make(chan struct{})
		l.holdTo = time.Now().Add(expectation)
	}
	return nil
}

// readInline appends a body in memory to the head. It cannot be read again, so this request stays on this link.
func (l *link) readInline(content io.Reader, length int) error {
	l.unsendable = true
	n := len(l.out)
	l.out = slices.Grow(l.out, length)[:n+length]
	_, err := io.ReadFull(content, l.out[n:])
	return noEOF(err)
}

// spent consumes what went out of the client's buffer.
func (l *link) spent() {
	if l.own != nil && l.accepted > 0 {
		l.own.take()
	}
}

// roundTrip writes the request and reads until the final response's head.
func (l *link) roundTrip() (*http.Response, error) {
	for interim := 0; ; interim++ {
		code, minor, reason, err := l.readHead()
		switch {
		case err != nil:
			return nil, err
		case code >= 200 || code == http.StatusSwitchingProtocols:
			return l.respond(code, minor, reason)
		case interim == maxInterim:
			return nil, errManyInterims
		case l.head.lengths+l.head.codings > 0:
			return nil, malformed("interim response with a body")
		case l.call.Informational != nil:
			l.call.Informational(code, l.head.header)
		}
		if code == http.StatusContinue {
			l.letGo()
		}
	}
}

// readHead waits for a head and parses it.
func (l *link) readHead() (code, minor int, reason string, err error) {
	limit := l.t.headLimit()
	for {
		end, bad := headEnd(l.in.bytes())
		switch {
		case bad != nil:
			return 0, 0, "", bad
		case end > limit:
			return 0, 0, "", tooLarge(l.in.bytes())
		case end > 0:
			head := string(l.in.bytes()[:end-2])
			l.in.skip(end)
			return l.parseHead(head)
		}
		if err := l.in.fill(limit); err == bufio.ErrBufferFull {
			return 0, 0, "", tooLarge(l.in.bytes())
		} else if err != nil {
			return 0, 0, "", noEOF(err)
		}
		if l.call.FirstByte.IsZero() {
			l.heard = later(l.heard)
			l.call.FirstByte = l.heard
		}
	}
}

func (l *link) parseHead(head string) (code, minor int, reason string, err error) {
	code, minor, reason, fields, bad := statusLine(head)
	if bad != nil {
		return 0, 0, "", bad
	}
	l.head.reset()
	if bad := l.head.parse(fields); bad != nil {
		return 0, 0, "", bad
	}
	return code, minor, reason, nil
}

// respond makes the response of a head.
func (l *link) respond(code, minor int, reason string) (*http.Response, error) {
	h := &l.head
	if code == http.StatusSwitchingProtocols {
		return l.switched()
	}
	framing, length, err := l.framing(code, minor)
	if err != nil {
		return nil, err
	}
	l.phase = Body
	l.wary = framing == noBody
	l.stalls = framing == byLength && l.t.StallTimeout > 0
	a := l.answer()
	a.Proto, a.ProtoMajor, a.ProtoMinor = "HTTP/1.1", 1, minor
	if minor == 0 {
		a.Proto = "HTTP/1.0"
	}
	a.StatusCode, a.Status = code, statusText(code, reason)
	a.Header, a.ContentLength, a.Request = h.header, length, l.request
	a.Close = h.close || minor == 0 && !h.keepAlive
	a.Trailer = h.trailer()
	if h.chunked {
		a.TransferEncoding = []string{"chunked"}
	}
	a.content = content{l: l, response: &a.Response, keep: !a.Close && framing != untilClose}
	a.content.payload = payload{in: &l.in, framing: framing, left: h.length, limit: l.t.headLimit()}
	a.content.done = framing == noBody || framing == byLength && h.length == 0
	a.Body = &a.content
	return &a.Response, nil
}

// answer is memory for a response. A request of our own server lends its exchange's, which is the handler's until it
// returns; by then an earlier attempt's response is done with.
func (l *link) answer() *answer {
	if l.writer == nil {
		return new(answer)
	}
	a := &l.writer.conn.x.answer
	*a = answer{}
	return a
}

// statusText is the usual status lines without an allocation.
func statusText(code int, reason string) string {
	if code == http.StatusOK && reason == "OK" {
		return "200 OK"
	}
	return strconv.Itoa(code) + " " + reason
}

// framing is RFC 9112 section 6.3 for responses, and a refusal of all that is ambiguous.
func (l *link) framing(code, minor int) (framing, int64, error) {
	h := &l.head
	switch {
	case h.lengths > 0 && h.codings > 0:
		return noBody, 0, malformed("both Content-Length and Transfer-Encoding")
	case h.codings > 0 && (minor == 0 || code == http.StatusNoContent):
		return noBody, 0, malformed("Transfer-Encoding where there can be none")
	case l.request.Method == http.MethodHead:
		return noBody, h.length, nil
	case code == http.StatusNoContent, code == http.StatusNotModified:
		return noBody, 0, nil
	case h.chunked:
		return byChunks, -1, nil
	case h.length >= 0:
		return byLength, h.length, nil
	}
	return untilClose, -1, nil
}

// letGo lets an upload that waits for a 100 begin.
func (l *link) letGo() {
	if !l.holdTo.IsZero() {
		l.holdTo = time.Time{}
		close(l.up.gate)
	}
}

// fail ends the link and says how far the exchange came.
func (l *link) fail(err error) error {
	e, ok := err.(*Error)
	if !ok {
		e = &Error{Err: err}
	}
	e.Phase = l.phase
	switch {
	case l.phase == Body || !l.call.FirstByte.IsZero():
		e.Outcome = Broken
	case l.accepted > 0 || l.up != nil && l.up.started: // an upload may have sent what the first write could not
		e.Outcome = NoAnswer
		if l.reused && !e.Timeout && e.Client == NoFault {
			l.t.failed.Store(time.Now().UnixNano())
		}
	default:
		e.Outcome = NotSent
	}
	if l.phase == Head && l.sentAt().IsZero() {
		e.Phase = Write
	}
	l.discard()
	return e
}

// discard ends all that still works for the exchange, and closes the connection.
func (l *link) discard() {
	if l.release != nil {
		l.release()
	}
	l.c.Close()
	if l.up != nil {
		l.up.stop()
	}
}
