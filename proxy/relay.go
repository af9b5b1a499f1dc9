package proxy

import (
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pillion-lb/pillion/proxy/h1"
	"github.com/pillion-lb/pillion/proxy/h2"
)

// relayBuffers hold what is on its way from a backend to a client when it can't be moved without copying.
var relayBuffers = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

// large is from which known length on a body of HTTP/1.1 is offered to the writer whole, which may splice it. It also
// shows what has come when the backend falls silent; bodies of HTTP/2 don't tell it.
const large = 64 << 10

// relay passes the winner's response on: head, body as it comes, trailers. The affinity cookie is set here and only
// here, for the endpoint that really answered.
func (x *exchange) relay(ep *endpoint, resp *http.Response) {
	h, from := x.header(), resp.Header
	passer, ok := x.w.(headPasser)
	if !ok || !passable(from) {
		copyResponse(h, from)
		from, passer = h, nil
	}
	x.rewriteLocation(ep, from, h)
	x.bind(ep, resp.StatusCode, from, h)
	announceTrailers(h, resp.Trailer)
	if x.p.draining.Load() && x.r.ProtoMajor == 2 {
		h["Connection"] = []string{"close"} // net/http makes a GOAWAY of it
	}
	x.record.Status = resp.StatusCode
	x.started = true
	if x.grpc && x.view != nil {
		x.view.settle()
	}
	if passer != nil {
		passer.WriteHeaderFrom(resp.StatusCode, from)
	} else {
		x.w.WriteHeader(resp.StatusCode)
	}
	x.showHead(ep, resp)
	err := x.copyBody(resp)
	if err == nil {
		x.copyTrailers(h, resp)
	}
	if x.grpc && err == nil {
		x.judgeCall(ep)
	}
	x.endAttempt(ep, resp, err)
	resp.Body.Close()
	if err != nil {
		x.cut(ep, err)
	}
}

// showHead lets the client see the head of a response whose body may be long in coming: an event stream, a call in both
// directions. Package h1 does it by itself when the first byte keeps it waiting.
func (x *exchange) showHead(ep *endpoint, resp *http.Response) {
	if _, own := x.w.(headPasser); own && resp.ProtoMajor == 1 || resp.ContentLength >= 0 {
		return
	}
	if f, ok := x.w.(http.Flusher); ok {
		f.Flush()
	}
}

// copyBody moves the body and flushes whatever would otherwise wait for more.
func (x *exchange) copyBody(resp *http.Response) *h1.Error {
	if resp.ContentLength >= large && resp.ProtoMajor == 1 {
		if to, ok := x.w.(io.ReaderFrom); ok {
			n, err := to.ReadFrom(resp.Body)
			x.record.BytesOut += n
			if e, ok := errors.AsType[*h1.Error](err); ok {
				return e
			}
			return relayError(nil, err) // bodies type their errors, so this is the client's
		}
	}
	buf := relayBuffers.Get().(*[]byte)
	defer relayBuffers.Put(buf)
	flusher, _ := x.w.(http.Flusher)
	left := resp.ContentLength
	for {
		n, err := resp.Body.Read(*buf)
		if n > 0 {
			if _, werr := x.w.Write((*buf)[:n]); werr != nil {
				return relayError(nil, werr)
			}
			x.record.BytesOut += int64(n)
			left -= int64(n)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return relayError(err, nil)
		}
		if flusher != nil && left != 0 {
			flusher.Flush()
		}
	}
}

// relayError tells a backend that broke its answer from a client that does not take it.
func relayError(read, write error) *h1.Error {
	switch {
	case write != nil:
		return &h1.Error{Outcome: h1.Broken, Phase: h1.Body, Client: h1.Gone, Err: write}
	case read == nil || read == io.EOF:
		return nil
	}
	if e, ok := errors.AsType[*h1.Error](read); ok {
		return e
	}
	return &h1.Error{Outcome: h1.Broken, Phase: h1.Body, Err: read}
}

// cut ends an answer that can't be finished so that the client notices: with an end that is none, or, when a gRPC call's
// backend is gone, with the status that says so.
func (x *exchange) cut(ep *endpoint, e *h1.Error) {
	end := endingOf(e)
	x.record.Ended, x.record.Detail = end.who+"/body", e.Error()
	switch {
	case x.faulty(e):
		x.happened(x.p.service.report(ep, false, x.record.Start, time.Now()))
	case e.Client != h1.NoFault:
		x.record.Status = statusClientGone
	}
	if blame(e) && x.retract() {
		x.fail(end, e)
		return
	}
	web := strings.HasPrefix(first(x.r.Header, "Content-Type"), "application/grpc-web") // whose trailers are in its body
	if x.grpc && !web && blame(e) && !e.Timeout && !h2.IsReset(e) {
		x.cutCall()
		return
	}
	panic(http.ErrAbortHandler)
}

// retractor is a ResponseWriter that can take back an answer of which its client has seen nothing.
type retractor interface{ Retract() bool }

// retract makes room for an answer of our own in the stead of one that broke before any of it left: an error that says so
// is worth more to a client than a connection that ends.
func (x *exchange) retract() bool {
	w, ok := x.w.(retractor)
	if !ok || !w.Retract() {
		return false
	}
	x.started, x.record.BytesOut = false, 0
	return true
}

// cutCall ends a gRPC call whose answer has begun. A reset stream would be INTERNAL to its client: a fault, where this one
// may be over at the next call.
func (x *exchange) cutCall() {
	x.record.GRPC = unavailable
	h := x.header()
	h[http.TrailerPrefix+"Grpc-Status"] = []string{unavailable}
	h[http.TrailerPrefix+"Grpc-Message"] = []string{"request id: " + x.errorID()}
}

// unavailable is the gRPC status by which a backend says that it can't serve now.
const unavailable = "14"

// judgeCall takes the outcome of a gRPC call from its status, which comes last.
func (x *exchange) judgeCall(ep *endpoint) {
	x.happened(x.p.service.report(ep, x.record.GRPC != unavailable, x.began, time.Now()))
}

// headPasser is a ResponseWriter that writes a response's fields without having them copied into its map first. It leaves
// out what concerns the connection that they came on.
type headPasser interface {
	WriteHeaderFrom(status int, from http.Header)
}

// passable reports whether a response's fields can be passed on as they are: no Connection field names any of them, and
// none is of the few that only this side knows to leave out.
func passable(from http.Header) bool {
	if c := from["Connection"]; len(c) > 1 || len(c) == 1 && !strings.EqualFold(c[0], "close") && !strings.EqualFold(c[0], "keep-alive") {
		return false
	}
	return from["Proxy-Authenticate"] == nil
}

// copyResponse copies the fields that concern the client. The values are shared, not cloned: the response is kept until
// the handler is done with both.
func copyResponse(to, from http.Header) {
	for k, v := range from {
		switch k {
		case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Transfer-Encoding", "Upgrade", "Te", "Trailer":
			continue
		}
		to[k] = v
	}
	if c := from["Connection"]; c != nil {
		dropNamed(to, c)
	}
}

// dropNamed removes the fields that a Connection field names (RFC 9110 section 7.6.1).
func dropNamed(h http.Header, connection []string) {
	for _, line := range connection {
		for name := range strings.SplitSeq(line, ",") {
			name = strings.Trim(name, " \t")
			if name != "" && !endToEnd(name) {
				delete(h, textproto.CanonicalMIMEHeaderKey(name))
			}
		}
	}
}

// endToEnd guards the fields that no Connection field may take away: those that frame or route a message, and those
// that a neighbour relies on us to set.
func endToEnd(name string) bool {
	switch strings.ToLower(name) {
	case "host", "content-length", "content-type", "content-encoding", "set-cookie", "cookie", "authorization", "location", "cache-control":
		return true
	}
	return false
}

// announceTrailers declares the trailers that the backend declared, so that HTTP/1.1 clients get them too.
func announceTrailers(h, trailer http.Header) {
	for k := range trailer {
		h["Trailer"] = append(h["Trailer"], k)
	}
}

// copyTrailers passes trailers on, those that were not announced as well.
func (x *exchange) copyTrailers(h http.Header, resp *http.Response) {
	if len(resp.Trailer) == 0 {
		if x.grpc {
			x.record.GRPC = first(resp.Header, "Grpc-Status") // a call without messages has its trailers in its head
		}
		return
	}
	if f, ok := x.w.(http.Flusher); ok {
		f.Flush() // forces chunked coding where the body was short, or the trailers would have no place
	}
	announced := h["Trailer"]
	for k, v := range resp.Trailer {
		if !containsString(announced, k) {
			k = http.TrailerPrefix + k
		}
		h[k] = v
	}
	x.record.GRPC = first(resp.Trailer, "Grpc-Status")
}

func containsString(list []string, s string) bool {
	for _, t := range list {
		if t == s {
			return true
		}
	}
	return false
}

// informational passes a 1xx on at once. Its fields are not those of the final response.
func (x *exchange) informational(code int, from http.Header) {
	if x.started || x.r.ProtoMajor == 1 && x.r.ProtoMinor == 0 {
		return
	}
	h := x.header()
	copyResponse(h, from)
	if x.r.ProtoMajor == 1 {
		x.w.WriteHeader(code)
		clear(h)
		return
	}
	for name, values := range h {
		h[name] = slices.Clone(values) // from is only lent
	}
	x.interim = true
	x.w.WriteHeader(code)
}

// header is the map of the answer's fields, empty but for what we put there. net/http's server of HTTP/2 may still be
// writing an interim response from this map when its client has left and WriteHeader has returned: then nobody may change
// it any more, and what else is said goes nowhere. The end of the request's context tells, before it can matter.
func (x *exchange) header() http.Header {
	if x.interim {
		x.interim = false
		if x.r.Context().Err() != nil {
			x.w = nowhere{}
		} else {
			clear(x.w.Header())
		}
	}
	return x.w.Header()
}

// nowhere takes the answer to a client who has left.
type nowhere struct{}

// Header is a new map each time: nobody reads it.
func (nowhere) Header() http.Header { return make(http.Header) }

// WriteHeader does nothing.
func (nowhere) WriteHeader(int) {}

// Write fails.
func (nowhere) Write([]byte) (int, error) { return 0, errClientGone }
