package h2

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/pillion-lb/pillion/proxy/h1"
)

// Server serves HTTP/2 on connections that somebody else accepted, by net/http's implementation. Fields are set before
// the first Serve and not changed after.
type Server struct {
	Handler        http.Handler
	HeaderTimeout  time.Duration
	StallTimeout   time.Duration // no progress of an answer or a promised body ends the stream, of the connection all; 0 is none
	IdleTimeout    time.Duration
	MaxHeaderBytes int
	Logger         *slog.Logger

	once   sync.Once
	server *http.Server
	queue  *queue
	open   sync.Map // net.Conn to chan struct{}, closed when the connection is
}

// maxStreams is how many requests a client may have open on one connection.
const maxStreams = 250

// maxFrame is the smallest frame size limit that HTTP/2 allows (RFC 9113 section 6.5.2), which is also what clients
// send. net/http's own, 1 MiB, would invite frames larger than a stream's window and keep a buffer of that size for
// every connection that ever sent one.
const maxFrame = 16 << 10

// Serve serves one connection and returns when it is closed.
func (s *Server) Serve(c net.Conn) {
	s.once.Do(s.start)
	if _, ok := c.(*tls.Conn); !ok { // which net/http has to recognise
		g := gather(c, s.StallTimeout, true)
		defer g.written()
		c = g
	}
	done := make(chan struct{})
	s.open.Store(c, done)
	if !s.queue.put(c) {
		s.open.Delete(c)
		c.Close()
		return
	}
	<-done
}

// changed ends the Serve of a connection that is closed.
func (s *Server) changed(c net.Conn, state http.ConnState) {
	if state != http.StateClosed && state != http.StateHijacked {
		return
	}
	if done, ok := s.open.LoadAndDelete(c); ok {
		close(done.(chan struct{}))
	}
}

// start prepares net/http's server. It accepts from a queue what Serve puts there.
func (s *Server) start() {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	protocols.SetHTTP2(true)
	s.queue = &queue{conns: make(chan net.Conn), closed: make(chan struct{})}
	s.server = &http.Server{
		Handler: http.HandlerFunc(s.handle), Protocols: &protocols, ConnState: s.changed,
		DisableGeneralOptionsHandler: true, // the backend's answer to "OPTIONS *" is asked for, not ours
		ReadHeaderTimeout:            s.HeaderTimeout, IdleTimeout: s.IdleTimeout, MaxHeaderBytes: s.MaxHeaderBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReadFrameSize: maxFrame, SendPingTimeout: time.Minute, PingTimeout: 15 * time.Second,
			WriteByteTimeout:              s.StallTimeout,
			MaxReceiveBufferPerConnection: 1 << 20, MaxReceiveBufferPerStream: 256 << 10,
		},
	}
	if s.Logger != nil {
		s.server.ErrorLog = slog.NewLogLogger(s.Logger.Handler(), slog.LevelDebug)
	}
	go s.server.Serve(s.queue) // ends with Shutdown or Close
}

// handle refuses what net/http lets through and other readers would not understand as it did.
func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	if err := unambiguous(r); err != nil {
		s.refuse(w, r, err)
		return
	}
	if s.StallTimeout <= 0 || r.Method == http.MethodConnect { // which is refused at once, or a tunnel, which has no limits
		s.Handler.ServeHTTP(w, r)
		return
	}
	st := s.watch(w, r)
	defer st.end()
	s.Handler.ServeHTTP(st, r)
}

var (
	errProtocol = errors.New(":protocol without CONNECT")
	errConnect  = errors.New("extended CONNECT with a length, or without a stream")
)

// unambiguous adds the laws of CONNECT to those of package h1. The ordinary one, which has no path, is the handler's to
// refuse. The extended one (RFC 8441 section 4) has a path, no content, and a stream that stays open: that is what
// net/http's -1 says.
func unambiguous(r *http.Request) error {
	protocol := r.Header[":protocol"] != nil
	switch {
	case r.Method != http.MethodConnect && protocol:
		return errProtocol
	case r.Method != http.MethodConnect:
		return h1.Unambiguous(r)
	case !protocol:
		return nil
	case r.ContentLength != -1 || r.Header["Content-Length"] != nil:
		return errConnect
	}
	return h1.Unambiguous(r)
}

// refuse answers what no handler gets to see, in the words of package h1.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, why error) {
	var random [16]byte
	rand.Read(random[:])
	id, text := hex.EncodeToString(random[:]), http.StatusText(http.StatusBadRequest)+"\n"
	h := w.Header()
	h["X-Request-Id"] = []string{id}
	h["Content-Type"] = []string{"text/plain; charset=utf-8"}
	h["Content-Length"] = []string{strconv.Itoa(len(text))}
	w.WriteHeader(http.StatusBadRequest)
	io.WriteString(w, text)
	if s.Logger != nil {
		s.Logger.Info("request refused", "peer", r.RemoteAddr, "status", http.StatusBadRequest, "request_id", id, "reason", why.Error())
	}
}

// Shutdown tells every client by GOAWAY to go elsewhere and waits for the requests in progress, or for ctx.
func (s *Server) Shutdown(ctx context.Context) error {
	s.once.Do(s.start)
	return s.server.Shutdown(ctx)
}

// Close closes everything at once.
func (s *Server) Close() error {
	s.once.Do(s.start)
	return s.server.Close()
}

// queue is a net.Listener whose connections were accepted elsewhere.
type queue struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (q *queue) put(c net.Conn) bool {
	select {
	case q.conns <- c:
		return true
	case <-q.closed:
		return false
	}
}

// Accept waits for a connection.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (q *queue) Close() error {
	q.once.Do(func() { close(q.closed) })
	return nil
}

// Addr is of no use to anybody.
func (q *queue) Addr() net.Addr { return &net.TCPAddr{} }
