package h2

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"strings"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// transaction is a client's stream, with everything that its handler needs. It
// is reused, unless a caller may still hold a part of it.
type transaction struct {
	stream
	server *Server

	request  http.Request
	pristine *http.Request // an empty request with the context
	url      url.URL
	header   http.Header
	values   []string // of the header's fields
	crumbs   []string // of the Cookie field
	trailer  http.Header
	ctx      *streamContext

	body *requestBody // nil without one
	own  requestBody  // used if all content came before the handler began

	response writer
	expects  bool // 100 (Continue)
	grpc     bool

	oversized bool    // the head is over a limit
	whole     bool    // all content came before the handler began
	spent     []*call // to be reused when the answer is written
}

// remote holds what a connection's requests have in common.
type remote struct {
	address string
	tls     *tls.ConnectionState
}

const smallMap = 8

func newTransaction(s *Server) *transaction {
	x := &transaction{
		server: s,
		header: make(http.Header, smallMap),
		values: make([]string, 0, 2*smallMap),
	}
	x.stream.x = x
	x.stream.budget = s.Budget
	x.response.x = x
	x.response.header = make(http.Header, smallMap)
	x.renew()
	return x
}

// renew replaces a context that a caller may still hold.
func (x *transaction) renew() {
	x.ctx = &streamContext{x: x}
	x.pristine = (&http.Request{Proto: "HTTP/2.0", ProtoMajor: 2}).WithContext(x.ctx)
}

// begin prepares the transaction for a request.
func (x *transaction) begin(oversized bool) {
	clear(x.header)
	x.values, x.crumbs = x.values[:0], x.crumbs[:0]
	x.trailer, x.body = nil, nil
	x.expects, x.whole, x.oversized = false, false, oversized
	x.request = *x.pristine
}

// run calls the handler. It is the stream's goroutine.
func (x *transaction) run() {
	r := &x.request
	types := x.header["Content-Type"]
	x.grpc = len(types) > 0 && strings.HasPrefix(types[0], "application/grpc")
	x.c.mu.Lock()
	x.whole = x.inEnd
	x.c.mu.Unlock()

	if r.Body == nil {
		x.body = &x.own
		if !x.whole {
			x.body = new(requestBody) // a late reader must not read the next request
		}
		x.body.x = x
		x.body.closed.Store(false)
		r.Body = x.body
	}
	x.response.begin()
	panicked := x.handle()
	x.finish(panicked)
}

// handle reports whether the handler panicked.
func (x *transaction) handle() (panicked bool) {
	defer func() {
		v := recover()
		if panicked = v != nil; panicked && v != http.ErrAbortHandler && x.server.Logger != nil {
			x.server.Logger.Error("handler panicked", "panic", v)
		}
	}()
	if x.oversized {
		x.refuse(http.StatusRequestHeaderFieldsTooLarge,
			"head over the limit (LB_MAX_HEADER_BYTES, 256 fields)")
		return false
	}
	if err := x.ambiguous(); err != nil {
		x.refuse(http.StatusBadRequest, err.Error())
		return false
	}
	x.server.Handler.ServeHTTP(&x.response, &x.request)
	return false
}

// ambiguous adds the rules for CONNECT to those of package wire. An ordinary
// CONNECT, which has no path, is refused by the handler. An extended one (RFC
// 8441 section 4) has a path, no content, and a stream that stays open.
func (x *transaction) ambiguous() error {
	r := &x.request
	switch {
	case r.Method != http.MethodConnect:
	case r.Header[":protocol"] == nil:
		return nil
	case r.ContentLength != -1:
		return errConnect
	}
	return wire.Unambiguous(r)
}

// finish ends the stream after its handler has returned.
func (x *transaction) finish(panicked bool) {
	c := x.c
	if x.body != nil {
		x.body.closed.Store(true)
	}
	if !panicked {
		x.response.finish()
	}

	c.mu.Lock()
	x.end(panicked)
	clean := x.err == nil && x.whole && !panicked
	if x.err == nil && !panicked {
		c.debt = max(0, c.debt-1)
	}
	x.discards = true
	c.credit(x.content.len())
	x.content.clear()
	x.free()
	x.reader.wakeUp() // another goroutine that reads the body
	c.running--
	c.rest()
	c.flushNow()
	c.mu.Unlock()

	c.account.Give(streamMemory)
	if x.ctx.end() {
		x.renew()
	}
	for i, k := range x.spent {
		k.transport.calls.Put(k)
		x.spent[i] = nil
	}
	x.spent = x.spent[:0]
	if clean {
		x.server.transactions.Put(x)
	}
}

// end writes the rest of the answer, and removes the stream from its
// connection. The caller holds the mutex.
func (x *transaction) end(panicked bool) {
	c := x.c
	if x.gone {
		return
	}
	if panicked {
		c.rst(x.id, internalError)
		c.remove(&x.stream)
		return
	}
	cut := x.response.end()
	switch {
	case x.gone:
		return
	case cut:
		c.rst(x.id, internalError)
	case !x.inEnd:
		c.rst(x.id, noError) // RFC 9113 section 8.1: the rest of the request is not wanted
	}
	c.remove(&x.stream)
}
