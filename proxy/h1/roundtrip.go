package h1

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

const (
	maxInline   = 64 << 10    // of a body in memory that is sent with the head
	expectation = time.Second // how long to wait for a backend's 100
	looksEvery  = 16          // 1xx responses between two looks at the client
)

// send sends a request and returns the response when its head has come. After
// an error the link is closed, even if nothing was sent on it.
func (l *link) send(r *http.Request, c *wire.Call) (*http.Response, error) {
	l.begin(r, c)
	if err := l.prepare(); err != nil {
		l.unsendable = true
		return nil, l.fail(err)
	}

	resp, err := l.roundTrip()
	if err != nil {
		e := l.fail(err)
		if e.Outcome != wire.Undelivered {
			l.spent()
		}

		return nil, e
	}

	l.spent()

	return resp, nil
}

// begin prepares the link for a transaction.
func (l *link) begin(r *http.Request, c *wire.Call) {
	l.request, l.call, l.phase = r, c, wire.Head
	l.client, l.writer, l.shared, l.context, l.release = nil, nil, nil, nil, nil
	l.writing, l.accepted, l.inline, l.own = true, 0, nil, nil
	l.up, l.failure, l.stalls, l.holdTo, l.flushAt = nil, nil, false, time.Time{}, time.Time{}
	l.unsendable, l.inlined = false, false
	l.in.reset()
	l.head.reset()

	switch ctx := c.ContextOf(r).(type) {
	case *requestContext:
		l.client, l.writer = ctx.conn, &ctx.conn.x.writer
	case wire.SharedContext:
		if own, ok := ctx.Client().(*requestContext); ok {
			// Others may read the answer, so the client's writer is left alone.
			l.client, l.shared = own.conn, ctx
			return
		}
		l.watch(ctx)
	default:
		l.watch(ctx)
	}
}

// watch lets a context that is not of this package end the transaction.
func (l *link) watch(ctx context.Context) {
	if ctx.Done() != nil {
		l.context = ctx
		l.release = context.AfterFunc(ctx, func() { l.c.SetReadDeadline(past) })
	}
}

// prepare writes the head to out and decides how the body is sent: with the
// head if it is in memory, else by an upload.
func (l *link) prepare() (err error) {
	length := l.request.ContentLength
	if l.out, err = l.t.appendRequest(l.out[:0], l.request, l.call, length); err != nil ||
		length == 0 {
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
			return &wire.Error{Client: wire.BadBody, Err: io.ErrUnexpectedEOF}
		}

		return nil
	}

	if m, ok := content.(interface{ Len() int }); ok && length <= maxInline &&
		int64(m.Len()) == length {
		return l.readInline(content, int(length))
	}

	l.up = newUpload(l, content, length)
	if expects(l.request) {
		l.up.gate = make(chan struct{})
		l.holdTo = time.Now().Add(expectation)
	}

	return nil
}

// readInline appends a body in memory to the head.
func (l *link) readInline(content io.Reader, length int) error {
	l.inlined = true
	n := len(l.out)
	l.out = slices.Grow(l.out, length)[:n+length]
	_, err := io.ReadFull(content, l.out[n:])
	return noEOF(err)
}

// spent removes what was sent from the client's buffer.
func (l *link) spent() {
	if l.own != nil && l.accepted > 0 {
		l.own.take()
	}
}

// roundTrip writes the request and waits for the head of the final response.
// Any number of interim responses may come before it (RFC 9110 section 15.2),
// and the time limits include all of them.
func (l *link) roundTrip() (*http.Response, error) {
	for interim := 1; ; interim++ {
		code, minor, reason, err := l.readHead()
		if err != nil {
			return nil, err
		}
		if code >= 200 || code == http.StatusSwitchingProtocols {
			return l.respond(code, minor, reason)
		}

		l.head.dropFraming(code)
		if l.call.Informational != nil {
			l.call.Informational(code, l.head.header)
		}
		if code == http.StatusContinue {
			l.letGo()
		}

		// A backend that sends one 1xx after the other leaves no wait in which
		// the client would be looked at.
		if interim%looksEvery == 0 {
			if err := l.clientLeft(); err != nil {
				return nil, err
			}
		}
	}
}

// readHead waits for a head and parses it.
func (l *link) readHead() (code, minor int, reason string, err error) {
	limit := l.t.headLimit()
	var scan headScan
	for {
		end, bad := scan.end(l.in.bytes())
		switch {
		case startsTLS(l.in.bytes()):
			return 0, 0, "", errInTLS
		case bad != nil:
			return 0, 0, "", bad
		case end > limit:
			return 0, 0, "", tooLarge(l.in.bytes())
		case end > 0:
			head := l.head.past.text(l.in.bytes()[:end-2])
			l.in.skip(end)
			return l.parseHead(head)
		}

		if err := l.in.fill(limit); err == bufio.ErrBufferFull {
			return 0, 0, "", tooLarge(l.in.bytes())
		} else if err == io.EOF && !l.reused && l.in.buffered() == 0 {
			return 0, 0, "", silentEnd{}
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
	l.head.response, l.head.bodyless = true, endsWithHead(l.request.Method, code)
	if bad := l.head.parse(head, fields); bad != nil {
		return 0, 0, "", bad
	}

	return code, minor, reason, nil
}

// respond makes the response from a head.
func (l *link) respond(code, minor int, reason string) (*http.Response, error) {
	h := &l.head
	if code == http.StatusSwitchingProtocols {
		return l.switched()
	}

	framing, length, err := l.framing(minor)
	if err != nil {
		return nil, err
	}

	// the response may be followed by a body that must not be
	contradicts := code == http.StatusNoContent && (h.codings > 0 || h.length > 0)
	if framing == noBody {
		if h.dropFraming(code); l.request.Method == http.MethodHead {
			length = h.length
		}
	}

	l.phase = wire.Body
	l.plain = wasPlain(l.request, framing)
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
	if framing == byChunks {
		a.TransferEncoding = []string{"chunked"}
	}

	a.content = content{
		l:        l,
		response: &a.Response,
		keep:     !a.Close && framing != untilClose && !contradicts,
	}
	a.content.payload = payload{
		in:       &l.in,
		framing:  framing,
		left:     h.length,
		limit:    l.t.headLimit(),
		response: true,
	}
	a.content.done = framing == noBody || framing == byLength && h.length == 0
	a.Body = &a.content

	return &a.Response, nil
}

// answer returns memory for a response. A request of this package's server
// provides it. By then, the response of an earlier attempt is not used any
// more.
func (l *link) answer() *answer {
	if l.writer == nil {
		return new(answer)
	}

	a := &l.writer.conn.x.answer
	*a = answer{}

	return a
}

// statusText returns the usual status lines without an allocation.
func statusText(code int, reason string) string {
	if code == http.StatusOK && reason == "OK" {
		return "200 OK"
	}
	return strconv.Itoa(code) + " " + reason
}

// framing applies RFC 9112 section 6.3 to a response, and refuses what is
// ambiguous.
func (l *link) framing(minor int) (framing, int64, error) {
	h := &l.head
	switch {
	case h.bodyless:
		return noBody, 0, nil
	case h.lengths > 0 && h.codings > 0:
		return noBody, 0, malformed("both Content-Length and Transfer-Encoding")
	case h.codings > 0 && minor == 0:
		return noBody, 0, malformed("Transfer-Encoding in HTTP/1.0")
	case h.chunked:
		return byChunks, -1, nil
	case h.length >= 0:
		return byLength, h.length, nil
	}

	return untilClose, -1, nil
}

// letGo starts an upload that waits for a 100.
func (l *link) letGo() {
	if !l.holdTo.IsZero() {
		l.holdTo = time.Time{}
		close(l.up.gate)
	}
}

// fail closes the link and returns an error with how far the transaction came.
func (l *link) fail(err error) *wire.Error {
	e, ok := err.(*wire.Error)
	if !ok {
		e = &wire.Error{Err: err}
	}

	e.Phase = l.phase
	switch {
	case l.phase == wire.Body || !l.call.FirstByte.IsZero():
		e.Outcome = wire.Broken

	// an upload may have sent what the first write could not
	case l.accepted > 0 || l.up != nil && l.up.started:
		e.Outcome = wire.NoAnswer
		if l.undelivered(err) {
			e.Outcome = wire.Undelivered
			l.ended(time.Now())
		}

		if l.reused && !e.Timeout && e.Client == wire.NoFault {
			l.t.failed.Store(time.Now().UnixNano())
		}
	default:
		e.Outcome = wire.NotSent
	}

	if l.phase == wire.Head && l.sentAt().IsZero() {
		e.Phase = wire.Write
	}

	l.discard()
	return e
}

// discard stops the transaction's upload and closes the connection.
func (l *link) discard() {
	if l.release != nil {
		l.release()
	}

	l.close()
	if l.up != nil {
		l.up.stop()
	}

	l.in.release()
}
