package proxy

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/proxy/edge"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// tunnel relays between the two sides of an upgraded connection until both have
// ended. e is how the attempt failed. f is what the client gets if there is no
// tunnel.
func (x *exchange) tunnel(resp *http.Response) (e *wire.Error, f *failure) {
	backend, ok := resp.Body.(io.ReadWriteCloser)
	if !ok || !x.upgrade {
		return unswitched(errUnasked)
	}
	if x.stream != nil {
		return x.tunnelStream(resp, backend)
	}
	defer backend.Close()
	head := upgradeHead(x, resp)
	conn, buffered, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		e = &wire.Error{Outcome: wire.Broken, Phase: wire.Head, Err: err}
		return e, &failure{ending{http.StatusBadGateway, "us", "upgrade"}, err}
	}
	defer conn.Close()
	x.started = true
	x.record.Status = http.StatusSwitchingProtocols
	t := x.p.tunnels.New(conn, backend)
	if !x.p.tunnels.Add(t) {
		return nil, nil
	}
	defer x.p.tunnels.Remove(t)
	conn.SetDeadline(time.Time{})
	_, err = conn.Write(head)
	t.Answered()
	if err != nil {
		x.record.Ended = "client/tunnel"
		return &wire.Error{Outcome: wire.Broken, Phase: wire.Body, Client: wire.Gone, Err: err}, nil
	}

	in, out := t.Relay(buffered.Reader)
	x.measureTunnel(in, out)

	return nil, nil
}

var errUnasked = errors.New("101 to a request that asked for no upgrade")

// upgradeHead returns the 101 for the client.
func upgradeHead(x *exchange, resp *http.Response) []byte {
	h := make(http.Header, len(resp.Header)+2)
	edge.CopyResponse(h, resp.Header)
	x.hop.OwnOrigin(h, h, x.place.Origin, x.place.Host)
	x.issueCookie(resp.StatusCode, h, h)
	x.changeAnswer(h, h)
	delete(h, "Content-Length")

	head := []byte(
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
	)
	for name, values := range h {
		for _, v := range values {
			head = append(head, wire.Spelling(name)...)
			head = append(head, ": "...)
			head = append(head, v...)
			head = append(head, "\r\n"...)
		}
	}

	return append(head, "\r\n"...)
}

// measureTunnel records how many bytes went through.
func (x *exchange) measureTunnel(in, out int64) {
	x.record.BytesIn, x.record.BytesOut = in, out
	if x.client != nil {
		x.client.SetAttributes(attrBytesIn.Int64(in), attrBytesOut.Int64(out))
		x.span.SetAttributes(attrBytesIn.Int64(in), attrBytesOut.Int64(out))
	}
}

// wantsWebSocket reports whether the request asks for a WebSocket (RFC 6455
// section 4.1), the only upgrade that is forwarded. Other upgrades are ignored.
func wantsWebSocket(r *http.Request) bool {
	up := r.Header["Upgrade"]
	if len(up) != 1 || r.ProtoMajor != 1 || r.ProtoMinor == 0 || r.Method != http.MethodGet ||
		r.ContentLength != 0 {
		return false
	}
	return strings.EqualFold(up[0], "websocket") && wire.HasToken(r.Header["Connection"], "upgrade")
}
