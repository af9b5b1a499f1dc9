package proxy

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/proxy/h1"
)

// A WebSocket over HTTP/2 is a stream that an extended CONNECT opens (RFC 8441). Towards the backend it becomes the
// upgrade that HTTP/1.1 has for it, with a handshake of our own; from then on it is a tunnel as any other.

var (
	errOtherProtocol = errors.New("extended CONNECT for another protocol than websocket")
	errAccept        = errors.New("101 whose Sec-WebSocket-Accept is not that of the handshake")
	errEnding        = errors.New("the process is ending")
	errUnswitched    = errors.New("success without the switch that was asked for")
)

// extended reports whether the request is an extended CONNECT of whatever protocol.
func extended(r *http.Request) bool {
	return r.Method == http.MethodConnect && r.ProtoMajor == 2 && len(r.Header[":protocol"]) == 1
}

// translate makes an extended CONNECT for a WebSocket the GET that HTTP/1.1 opens one with, and reports whether the
// request was one. What the client streams is no content of that GET, so it is taken out of it. An extended CONNECT for
// another protocol stays as it is, to be refused.
func (x *exchange) translate(r *http.Request) bool {
	if !extended(r) || !strings.EqualFold(r.Header[":protocol"][0], "websocket") {
		return false
	}
	var nonce [16]byte
	rand.Read(nonce[:])
	x.stream = &stream{ReadCloser: r.Body, w: x.w, control: http.NewResponseController(x.w), key: base64.StdEncoding.EncodeToString(nonce[:])}
	r.Method, r.Body, r.ContentLength, r.Trailer = http.MethodGet, http.NoBody, 0, nil
	delete(r.Header, ":protocol")
	r.Header["Sec-Websocket-Key"] = []string{x.stream.key}
	if r.Header["Sec-Websocket-Version"] == nil {
		r.Header["Sec-Websocket-Version"] = []string{"13"}
	}
	return true
}

// accept says yes to the client in the words of HTTP/2, which knows no 101.
func (x *exchange) accept(ep *endpoint, resp *http.Response) {
	h := x.header()
	copyResponse(h, resp.Header)
	delete(h, "Content-Length")
	delete(h, "Sec-Websocket-Accept")
	x.bind(ep, http.StatusOK, h, h)
	x.started, x.record.Status = true, http.StatusOK
	x.w.WriteHeader(http.StatusOK)
	x.stream.control.Flush()
}

// unswitched refuses an answer to an upgrade that is neither a refusal nor the switch that was asked for. Passed on, any
// success would be an open tunnel to a client on HTTP/2.
func (x *exchange) unswitched(ep *endpoint, resp *http.Response, why error) {
	resp.Body.Close()
	x.endAttempt(ep, resp, &h1.Error{Outcome: h1.Broken, Phase: h1.Head, Err: why})
	x.fail(ending{http.StatusBadGateway, "backend", "head"}, why)
}

// tunnelStream relays an upgraded connection and the client's stream until both are done.
func (x *exchange) tunnelStream(ep *endpoint, resp *http.Response, backend io.ReadWriteCloser) {
	defer backend.Close()
	if !x.stream.accepted(resp) {
		x.unswitched(ep, resp, errAccept)
		return
	}
	defer x.stream.Close()
	t := x.p.tunnels.between(x.stream, backend)
	if !x.p.tunnels.add(t) {
		x.endAttempt(ep, resp, nil)
		x.fail(ending{http.StatusServiceUnavailable, "us", "upgrade"}, errEnding)
		return
	}
	defer x.p.tunnels.remove(t)
	x.accept(ep, resp)
	t.answered()
	stop := context.AfterFunc(x.r.Context(), t.close) // a reset ends both directions at once
	defer stop()
	in, out := t.relay(bufio.NewReader(x.stream))
	x.record.BytesIn, x.record.BytesOut = in, out
	x.endTunnelSpan(ep, resp, in, out)
}

// stream is the client's side of a tunnel in an HTTP/2 stream. net/http can't end one direction of it alone: what is
// ended towards the client is ended both ways, which no WebSocket notices, because its closing handshake comes before.
type stream struct {
	io.ReadCloser // from the client
	w             http.ResponseWriter
	control       *http.ResponseController
	key           string // of the handshake with the backend

	closed  atomic.Bool
	writing atomic.Bool
	mu      sync.Mutex // held while the stream is given up, and taken once more before the handler returns
}

// accepted reports whether a 101 answers the stream's own handshake (RFC 6455 section 4.2.2).
func (s *stream) accepted(resp *http.Response) bool {
	sum := sha1.Sum([]byte(s.key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	got := resp.Header["Sec-Websocket-Accept"]
	return len(got) == 1 && got[0] == base64.StdEncoding.EncodeToString(sum[:])
}

// Write sends at once. It waits for the client's window, until the stream is given up.
func (s *stream) Write(p []byte) (int, error) {
	s.writing.Store(true)
	defer s.writing.Store(false)
	if s.closed.Load() {
		return 0, io.ErrClosedPipe
	}
	n, err := s.w.Write(p)
	if err == nil {
		err = s.control.Flush()
	}
	return n, err
}

// CloseWrite ends the stream; its END_STREAM follows when the handler returns.
func (s *stream) CloseWrite() error { return s.Close() }

// Close ends the stream from any goroutine, and a write that waits with a reset.
func (s *stream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Swap(true) {
		return nil
	}
	s.interrupt()
	return s.ReadCloser.Close()
}

// interrupt resets the stream if a write waits. The caller holds the mutex.
func (s *stream) interrupt() {
	if s.writing.Load() {
		s.control.SetWriteDeadline(time.Unix(1, 0))
	}
}

// SetWriteDeadline ends a write that still waits then.
func (s *stream) SetWriteDeadline(end time.Time) error {
	time.AfterFunc(time.Until(end), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.closed.Load() {
			s.interrupt()
		}
	})
	return nil
}
