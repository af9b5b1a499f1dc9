package h2

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// response is the response of a call, as far as it has come. It is guarded by
// the connection's mutex until the head is complete. Then the head belongs to
// the caller.
type response struct {
	result   http.Response
	body     responseBody
	header   http.Header
	values   []string // of the header's and the trailer's fields
	trailer  http.Header
	trailers http.Header // the map of the trailers, if there are any

	status   int
	interims []interim
	waiting  int       // how much memory those take
	first    time.Time // when its first byte came
	begun    bool      // a byte of it has come, also of a 1xx
	headed   bool      // the final head has come
}

// interim is a 1xx response.
type interim struct {
	status int
	header http.Header
	size   int
}

const (
	// maxInterims is how much memory those may take that wait to be passed on.
	// A backend may send any number of them (RFC 9110 section 15.2), and can't
	// be slowed down without its other streams. So the oldest are dropped.
	maxInterims = 64 << 10
	// interimSize is what one takes beside its fields.
	interimSize = 256
)

func (p *response) begin() {
	clear(p.header)
	p.values = p.values[:0]
	p.trailers, p.status, p.interims, p.waiting, p.first = nil, 0, nil, 0, noTime
	p.begun, p.headed = false, false
}

// responseSection handles a field section of a backend: a 1xx, the head, or the
// trailers.
func (c *conn) responseSection(id uint32, end bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := c.find(id)
	if st == nil {
		if c.isIdle(id) {
			return connError{protocolError, "HEADERS on an idle stream"}
		}
		return nil
	}
	if code := st.k.take(&c.dec, end); code != noError {
		return c.reject(st, code)
	}
	c.later(&st.reader)
	return nil
}

// take notes the section. The caller is the reader, with the mutex.
func (k *call) take(d *decoder, end bool) errorCode {
	p := &k.response
	switch {
	case k.inEnd:
		return streamClosed
	case d.malformed || d.oversized:
		return protocolError
	case p.headed:
		return k.takeTrailers(d, end)
	}

	status, ok := statusOf(d.fields)
	if !ok {
		return protocolError
	}
	if p.first.IsZero() {
		p.first = k.c.now
	}
	p.begun = true
	if status < 200 {
		return p.takeInterim(status, d.fields[1:], end)
	}
	if code := k.takeHead(status, d.fields[1:]); code != noError {
		return code
	}
	p.status, p.headed = status, true
	if !end {
		return noError
	}
	k.inEnd = true
	if k.declared > 0 && k.mayHaveContent() {
		return protocolError // RFC 9113 section 8.1.1
	}
	return noError
}

// mayHaveContent reports whether the response may have content (RFC 9110
// section 6.4.1).
func (k *call) mayHaveContent() bool {
	return !bodyless(k.request.Method, k.response.status)
}

// bodyless reports whether a response can have no content, whatever its fields
// say (RFC 9110 section 6.4.1).
func bodyless(method string, status int) bool {
	return method == http.MethodHead ||
		status == http.StatusNoContent || status == http.StatusNotModified
}

// statusOf returns the value of :status (RFC 9113 section 8.3.2).
func statusOf(fields []field) (status int, ok bool) {
	if len(fields) == 0 || fields[0].n != nStatus || len(fields[0].value) != 3 {
		return 0, false
	}
	for _, c := range []byte(fields[0].value) {
		if c < '0' || c > '9' {
			return 0, false
		}
		status = 10*status + int(c-'0')
	}
	return status, status >= 100
}

// takeInterim keeps a 1xx until it is passed on. There is no 101 in HTTP/2 (RFC
// 9113 section 8.6).
func (p *response) takeInterim(status int, fields []field, end bool) errorCode {
	if end || status == http.StatusSwitchingProtocols {
		return protocolError
	}
	h, size := make(http.Header), interimSize
	for i := range fields {
		f := &fields[i]
		switch f.n.kind {
		case pseudo:
			return protocolError
		case plain:
			h[f.n.key] = append(h[f.n.key], f.value)
			size += int(f.size())
		}
	}
	p.interims = append(p.interims, interim{status, h, size})
	p.waiting += size
	for p.waiting > maxInterims && p.dropInterim() {
	}
	return noError
}

// dropInterim drops the oldest of those that wait, but neither the newest, nor
// a 100 that comes first, for which a client waits with its content.
func (p *response) dropInterim() bool {
	oldest := 0
	if p.interims[0].status == http.StatusContinue {
		oldest = 1
	}
	if oldest >= len(p.interims)-1 {
		return false
	}
	p.waiting -= p.interims[oldest].size
	p.interims = slices.Delete(p.interims, oldest, oldest+1)
	return true
}

func (k *call) takeHead(status int, fields []field) errorCode {
	p := &k.response
	for i := range fields {
		f := &fields[i]
		switch f.n.kind {
		case pseudo:
			return protocolError
		case connection:
			continue // it has no meaning in HTTP/2
		case contentLength:
			n, ok := wire.ParseLength(f.value)
			if !ok || k.declared >= 0 && k.declared != n {
				return protocolError
			}
			k.declared = n
		}
		p.values = addField(p.header, p.values, f)
	}
	if bodyless(k.request.Method, status) {
		k.received = max(0, k.declared) // of the content that is not sent
	}
	return noError
}

func (k *call) takeTrailers(d *decoder, end bool) errorCode {
	p := &k.response
	if !end || k.declared >= 0 && k.received != k.declared {
		return protocolError
	}
	if p.trailer == nil {
		p.trailer = make(http.Header, smallMap/2)
	}
	clear(p.trailer)
	for i := range d.fields {
		f := &d.fields[i]
		switch f.n.kind {
		case pseudo:
			return protocolError
		case plain:
			if wire.InTrailers(f.n.key) {
				p.values = addField(p.trailer, p.values, f)
			}
		}
	}
	p.trailers = p.trailer
	k.inEnd = true
	return noError
}

// message makes the http.Response.
func (p *response) message(k *call) *http.Response {
	r := &p.result
	*r = http.Response{
		Proto: "HTTP/2.0", ProtoMajor: 2,
		Status: "200 OK", StatusCode: p.status,
		Header: p.header, ContentLength: k.declared, Request: k.request,
	}
	if p.status != http.StatusOK {
		r.Status = strconv.Itoa(p.status) + " " + http.StatusText(p.status)
	}
	p.body = responseBody{k: k}
	r.Body = &p.body

	k.c.mu.Lock()
	if k.inEnd && k.content.len() == 0 && p.trailers == nil && k.declared < 0 {
		r.ContentLength = 0
	}
	k.c.mu.Unlock()
	if p.status == http.StatusNotModified || p.status == http.StatusNoContent {
		p.body.none, r.ContentLength = true, 0
	}
	if lists := p.header["Trailer"]; lists != nil {
		delete(p.header, "Trailer")
		r.Trailer = announced(lists)
	}
	return r
}

// ended puts the trailers into the response.
func (p *response) ended() {
	switch {
	case p.trailers == nil:
	case p.result.Trailer == nil:
		p.result.Trailer = p.trailers
	default:
		maps.Copy(p.result.Trailer, p.trailers)
	}
	p.trailers = nil
}

// responseBody is a response's body. Its errors are io.EOF and *wire.Error.
type responseBody struct {
	k      *call
	none   bool // by its status; a Content-Length is then another response's (RFC 9110 section 8.6)
	closed bool
}

// Read waits for content.
func (b *responseBody) Read(p []byte) (int, error) {
	if b.none || b.closed {
		return 0, io.EOF
	}
	k := b.k
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	if end, err := b.wait(); err != nil {
		return 0, err
	} else if end {
		return 0, io.EOF
	}
	n := k.content.read(p)
	k.consumed(n)
	if k.inEnd && k.content.len() == 0 {
		k.response.ended()
		return n, io.EOF
	}
	return n, nil
}

// Ready reports whether the next Read returns without waiting.
func (b *responseBody) Ready() bool {
	if b.none || b.closed {
		return true
	}
	k := b.k
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	return k.content.len() > 0 || k.inEnd || k.err != nil
}

// next returns all content that has come, in the stream's own buffer. The
// caller has to give the buffer back.
func (b *responseBody) next() (piece []byte, end bool, err error) {
	if b.none || b.closed {
		return nil, true, nil
	}
	k := b.k
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	if end, err := b.wait(); err != nil || end {
		return nil, end, err
	}
	piece = k.content.all()
	k.consumed(len(piece))
	if k.inEnd {
		k.response.ended()
	}
	return piece, k.inEnd, nil
}

// wait waits for content, or for the end. If the length is known, the backend
// must send some within the stall timeout. The caller holds the mutex.
func (b *responseBody) wait() (end bool, err error) {
	k := b.k
	for k.content.len() == 0 {
		switch {
		case k.inEnd:
			k.response.ended()
			return true, nil
		case k.err != nil:
			return false, k.failure(k.err, wire.Body)
		}
		limit := k.wire.Deadline
		if d := k.transport.StallTimeout; d > 0 && k.declared > 0 {
			limit = earlier(limit, time.Now().Add(d))
		}
		if k.reader.wait(k.c, limit) && k.err == nil && !k.inEnd && k.content.len() == 0 {
			k.err = errTimeout
		}
	}
	return false, nil
}

// Close gives the response up. It does not wait for a request body that is
// still being read: a backend may end its answer first, and the client may send
// nothing more until it gets that end.
func (b *responseBody) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	k := b.k
	k.unwatch()
	k.c.mu.Lock()
	clean := k.inEnd && k.outEnd && k.err == nil && !k.uploads && !k.gone
	k.leave()
	k.content.clear()
	k.wire.Written = k.written
	k.c.mu.Unlock()

	if own, ok := k.context.(*streamContext); ok && clean {
		// Its fields may be in the answer's map until that is written.
		own.x.spent = append(own.x.spent, k)
	}
	return nil
}
