package proxy

import (
	"net/http"

	"github.com/pillion-lb/pillion/proxy/compress"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// compressing is the compression's part of an exchange.
type compressing struct {
	coder *compress.Sender // nil where nothing is compressed
}

// compressor returns the route's compression in front of next, or nil if there
// is none.
func (x *exchange) compressor(next wire.Sender) *compress.Sender {
	rules := x.route.compress
	if rules == nil || x.upgrade || x.grpc {
		return nil
	}

	x.coder = compress.NewSender()
	x.coder.Rules, x.coder.Encoders, x.coder.Next = rules, x.p.encoders, next
	x.coder.Ask(x.r)

	return x.coder
}

// compressOwn compresses an answer that Pillion made itself.
func (x *exchange) compressOwn(resp *http.Response) {
	if c := x.compressor(nil); c != nil {
		c.Answer(x.r, x.r.Header["If-None-Match"], resp)
	}
}

// noteCoding records how the answer was compressed.
func (x *exchange) noteCoding() {
	if c := x.coder; c != nil && c.Coding != wire.Identity {
		x.record.Coding = c.Coding.String()
	}
}

// showsItself reports whether a body flushes the head and everything that has
// come before it waits for more.
func showsItself(resp *http.Response) bool {
	_, compressed := resp.Body.(*compress.Body)

	return compressed
}
