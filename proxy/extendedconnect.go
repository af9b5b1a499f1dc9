package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/pillion-lb/pillion/proxy/edge"
	"github.com/pillion-lb/pillion/proxy/tunnel"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// A WebSocket over HTTP/2 is a stream that is opened by an extended CONNECT
// (RFC 8441). Pillion sends the backend an upgrade request of HTTP/1.1 instead,
// with a key of its own. After the handshake the tunnel is like any other.

var (
	errOtherProtocol = errors.New("extended CONNECT for another protocol than websocket")
	errAccept        = errors.New("101 whose Sec-WebSocket-Accept is not that of the handshake")
	errEnding        = errors.New("the process is ending")
	errUnswitched    = errors.New("success without the switch that was asked for")
)

// extended reports whether the request is an extended CONNECT, for any
// protocol.
func extended(r *http.Request) bool {
	return r.Method == http.MethodConnect && r.ProtoMajor == 2 && len(r.Header[":protocol"]) == 1
}

// translate turns an extended CONNECT for a WebSocket into the GET that opens a
// WebSocket over HTTP/1.1, and reports whether the request was one. The
// client's stream is taken out of the request, because it is not the content of
// that GET. An extended CONNECT for another protocol is left as it is and
// refused later.
func (x *exchange) translate(r *http.Request) bool {
	if !extended(r) || !strings.EqualFold(r.Header[":protocol"][0], "websocket") {
		return false
	}

	x.stream = tunnel.NewStream(x.w, r.Body)
	r.Method, r.Body, r.ContentLength, r.Trailer = http.MethodGet, http.NoBody, 0, nil
	delete(r.Header, ":protocol")
	r.Header["Sec-Websocket-Key"] = []string{x.stream.Key}
	if r.Header["Sec-Websocket-Version"] == nil {
		r.Header["Sec-Websocket-Version"] = []string{"13"}
	}

	return true
}

// accept answers the client's extended CONNECT. HTTP/2 has no 101, so it is a
// 200.
func (x *exchange) accept(resp *http.Response) {
	h := x.w.Header()
	edge.CopyResponse(h, resp.Header)
	x.hop.OwnOrigin(h, h, x.place.Origin, x.place.Host)
	delete(h, "Content-Length")
	delete(h, "Sec-Websocket-Accept")
	x.issueCookie(http.StatusOK, h, h)
	x.changeAnswer(h, h)
	x.started, x.record.Status = true, http.StatusOK
	x.w.WriteHeader(http.StatusOK)
	x.stream.Flush()
}

// unswitched refuses an answer to an upgrade request that is neither a refusal
// nor a valid 101. A client on HTTP/2 would take any 2xx for an open tunnel.
func unswitched(why error) (*wire.Error, *failure) {
	e := &wire.Error{Outcome: wire.Broken, Phase: wire.Head, Err: why}

	return e, &failure{ending{http.StatusBadGateway, "backend", "head"}, why}
}

// tunnelStream relays between an upgraded connection and the client's stream
// until both have ended.
func (x *exchange) tunnelStream(
	resp *http.Response, backend io.ReadWriteCloser,
) (*wire.Error, *failure) {
	defer backend.Close()
	if !x.stream.Accepts(resp) {
		return unswitched(errAccept)
	}
	defer x.stream.Close()
	t := x.p.tunnels.New(x.stream, backend)
	if !x.p.tunnels.Add(t) {
		return nil, &failure{ending{http.StatusServiceUnavailable, "us", "upgrade"}, errEnding}
	}
	defer x.p.tunnels.Remove(t)
	x.accept(resp)
	t.Answered()
	// A reset of the stream ends both directions at once.
	stop := context.AfterFunc(x.r.Context(), t.Close)
	defer stop()
	in, out := t.Relay(bufio.NewReader(x.stream))
	x.measureTunnel(in, out)

	return nil, nil
}
