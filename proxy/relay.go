package proxy

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pillion-lb/pillion/proxy/backend"
	"github.com/pillion-lb/pillion/proxy/edge"
	"github.com/pillion-lb/pillion/proxy/h2"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// relayBuffers are for bodies that can't be moved without copying.
var relayBuffers = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

// large is the length from which on a body from an HTTP/1.1 backend is given to
// the writer as a whole, which may then splice it. The writer flushes by itself
// when such a body pauses.
const large = 64 << 10

// relay passes a response on: head, body as it comes, trailers. The affinity
// cookie is set here and only here, for the endpoint that really answered. An
// error tells which side broke the answer.
func (x *exchange) relay(resp *http.Response) *wire.Error {
	h, from := x.w.Header(), resp.Header
	passer, ok := x.w.(headPasser)
	if !ok || !edge.Passable(from) {
		edge.CopyResponse(h, from)
		from, passer = h, nil
	}

	if x.fromMemory() {
		from = x.ownFields(from)
	} else {
		x.hop.OwnOrigin(from, h, x.place.Origin, x.place.Host)
		x.issueCookie(resp.StatusCode, from, h)
	}
	x.changeAnswer(h, from)
	x.sayCache(from, h)
	announceTrailers(h, resp.Trailer)
	x.askForNewConnection(h)

	x.record.Status = resp.StatusCode
	x.started = true
	if x.grpc && x.body != nil {
		x.body.noMoreAttempts()
	}

	if passer != nil {
		passer.WriteHeaderFrom(resp.StatusCode, from)
	} else {
		x.w.WriteHeader(resp.StatusCode)
	}

	x.showHead(resp)
	err := x.copyBody(resp)
	if err == nil {
		x.copyTrailers(h, resp)
	}

	if x.grpc && err == nil {
		x.reportCall()
	}

	return err
}

// showHead flushes the head of a response whose body may take long to begin,
// such as an event stream or a gRPC call in both directions. The writer of
// package h1 does that by itself for backends on HTTP/1.1.
func (x *exchange) showHead(resp *http.Response) {
	if showsItself(resp) || x.showUnwatched(resp) {
		return
	}
	_, own := x.w.(headPasser)
	if own && resp.ProtoMajor == 1 && x.r.ProtoMajor == 1 || resp.ContentLength >= 0 {
		return
	}
	if f, ok := x.w.(http.Flusher); ok {
		f.Flush()
	}
}

// movesBody reports whether the writer gets the body as a whole, to splice it
// or to pass on its buffers. Both sides must speak the same version of HTTP.
func (x *exchange) movesBody(resp *http.Response) bool {
	if resp.ProtoMajor != x.r.ProtoMajor {
		return false
	}

	return resp.ProtoMajor == 2 || resp.ContentLength >= large
}

// copyBody copies the body, and flushes whenever it may have to wait for more.
func (x *exchange) copyBody(resp *http.Response) *wire.Error {
	if b, ok := resp.Body.(io.WriterTo); ok {
		return x.copyFrom(b)
	}
	if x.movesBody(resp) {
		if to, ok := x.w.(io.ReaderFrom); ok {
			n, err := to.ReadFrom(resp.Body)
			x.record.BytesOut += n
			if e, ok := errors.AsType[*wire.Error](err); ok {
				return e
			}

			// Errors of the response body have a type, so this one is the
			// client's.
			return relayError(nil, err)
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

// copyFrom writes a body in memory without copying it. Errors of such a body
// are *wire.Error, so all others are the client's.
func (x *exchange) copyFrom(b io.WriterTo) *wire.Error {
	n, err := b.WriteTo(x.w)
	x.record.BytesOut += n
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return e
	}

	return relayError(nil, err)
}

// relayError distinguishes an answer that the backend broke from one that the
// client did not accept.
func relayError(read, write error) *wire.Error {
	switch {
	case write != nil:
		return &wire.Error{Outcome: wire.Broken, Phase: wire.Body, Client: wire.Gone, Err: write}
	case read == nil || read == io.EOF:
		return nil
	}

	if e, ok := errors.AsType[*wire.Error](read); ok {
		return e
	}

	return &wire.Error{Outcome: wire.Broken, Phase: wire.Body, Err: read}
}

// cut ends an answer that can't be finished so that the client notices it: by a
// cut connection or stream or, for a gRPC call, by the status UNAVAILABLE.
func (x *exchange) cut(e *wire.Error) {
	end := endingOf(e)
	x.record.Ended, x.record.Detail = end.who+"/body", e.Error()
	switch {
	case x.placed && x.countsAgainst(e):
		x.noteChange(
			x.place.ReportCut(
				&x.head,
				&backend.Outcome{Result: backend.Broken, Began: x.began, Ended: time.Now()},
			),
		)
	case e.Client != wire.NoFault:
		x.record.Status = statusClientGone
	}

	if blame(e) && x.retract() {
		x.fail(end, e)
		return
	}

	// The trailers of gRPC-Web are in its body.
	web := strings.HasPrefix(first(x.r.Header, "Content-Type"), "application/grpc-web")
	if x.grpc && !web && blame(e) && !e.Timeout && !h2.IsReset(e) {
		x.endCall()
		return
	}

	panic(http.ErrAbortHandler)
}

// retractor is a ResponseWriter that can take back an answer of which nothing
// was sent.
type retractor interface{ Retract() bool }

// retract takes back a broken answer, so that the client can get an error
// instead. That tells the client more than a connection that ends.
func (x *exchange) retract() bool {
	w, ok := x.w.(retractor)
	if !ok || !w.Retract() {
		return false
	}

	x.started, x.record.BytesOut = false, 0

	return true
}

// endCall ends a gRPC call whose answer has begun. A reset stream would be
// INTERNAL for the client. UNAVAILABLE says that the next call may succeed.
func (x *exchange) endCall() {
	x.record.GRPC = unavailable
	h := x.w.Header()
	h[http.TrailerPrefix+"Grpc-Status"] = []string{unavailable}
	h[http.TrailerPrefix+"Grpc-Message"] = []string{"request id: " + x.errorID()}
}

// unavailable is the gRPC status UNAVAILABLE: the service can't be used now.
const unavailable = "14"

// reportCall reports the outcome of a gRPC call, whose status comes last.
func (x *exchange) reportCall() {
	x.noteChange(x.place.Report(&backend.Outcome{
		Result: x.service.ResultOfCall(x.record.GRPC),
		Client: x.record.Client,
		Began:  x.began,
		Ended:  time.Now(),
	}))
}

// headPasser is a ResponseWriter that writes the fields of a response without
// having them copied into its own map. It leaves out the fields that concern
// the connection they came on.
type headPasser interface {
	WriteHeaderFrom(status int, from http.Header)
}

// announceTrailers announces the trailers that the backend has announced, so
// that clients of HTTP/1.1 get them too.
func announceTrailers(h, trailer http.Header) {
	for k := range trailer {
		h["Trailer"] = append(h["Trailer"], k)
	}
}

// copyTrailers passes trailers on, including those that were not announced.
func (x *exchange) copyTrailers(h http.Header, resp *http.Response) {
	if len(resp.Trailer) == 0 {
		if x.grpc {
			// A call without messages has its trailers in the head.
			x.record.GRPC = first(resp.Header, "Grpc-Status")
		}
		return
	}

	if f, ok := x.w.(http.Flusher); ok {
		// The flush forces chunked coding, even for a short body. Without it
		// there is no place for trailers.
		f.Flush()
	}

	announced := h["Trailer"]
	for k, v := range resp.Trailer {
		if !slices.Contains(announced, k) {
			k = http.TrailerPrefix + k
		}
		h[k] = v
	}

	x.record.GRPC = first(resp.Trailer, "Grpc-Status")
}

// informational passes a 1xx on at once. Its fields are removed again, so that
// the final response does not get them.
func (x *exchange) informational(code int, from http.Header) {
	if x.started || x.r.ProtoMajor == 1 && x.r.ProtoMinor == 0 {
		return
	}

	h := x.w.Header()
	edge.CopyResponse(h, from)
	x.hop.OwnOrigin(h, h, x.place.Origin, x.place.Host)
	x.dropCarried(h)
	x.w.WriteHeader(code)
	clear(h)
}
