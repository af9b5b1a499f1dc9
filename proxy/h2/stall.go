package h2

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/pillion-lb/pillion/proxy/h1"
)

// stalls ends the exchange of one stream whose client makes no progress: one that takes no more of its answer, because
// its flow control window stays shut, or sends no more of a body whose length it promised. net/http limits neither. Only
// waits count, each for itself, so whoever moves at all is left alone. The connection's other streams go on.
//
// It is the stream's ResponseWriter, which is net/http's otherwise.
type stalls struct {
	http.ResponseWriter
	limit   time.Duration
	flusher http.Flusher
	writing *time.Timer // made by the first write

	mu   sync.Mutex // held while a deadline is set
	over bool       // the handler has returned, and net/http's writer is no longer ours to touch
}

// watch puts the limit on a stream. The caller calls end when the handler has returned.
func (s *Server) watch(w http.ResponseWriter, r *http.Request) *stalls {
	st := &stalls{ResponseWriter: w, limit: s.StallTimeout, flusher: w.(http.Flusher)}
	if promised(r) {
		b := &upload{ReadCloser: r.Body}
		b.reading = time.AfterFunc(s.StallTimeout, func() { st.expire(http.NewResponseController(w).SetReadDeadline) })
		b.reading.Stop()
		b.limit, r.Body = s.StallTimeout, b
	}
	return st
}

// promised reports whether silence in a request's body is a stall. Whoever declares a length has the body; a stream
// without one may pause for as long as its user does, and so may any of gRPC.
func promised(r *http.Request) bool {
	if r.ContentLength <= 0 {
		return false
	}
	types := r.Header["Content-Type"]
	return len(types) == 0 || !strings.HasPrefix(types[0], "application/grpc")
}

// expire lets a deadline of the stream pass, unless the exchange is over.
func (s *stalls) expire(set func(time.Time) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		set(time.Unix(1, 0))
	}
}

// end takes the limit off.
func (s *stalls) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if s.writing != nil {
		s.writing.Stop()
	}
}

// starts begins to count a write.
func (s *stalls) starts() {
	if s.writing == nil {
		s.writing = time.AfterFunc(s.limit, func() { s.expire(http.NewResponseController(s.ResponseWriter).SetWriteDeadline) })
		return
	}
	s.writing.Reset(s.limit)
}

// Write sends a part of the answer, and fails when the client takes none of it for the limit.
func (s *stalls) Write(p []byte) (int, error) {
	s.starts()
	n, err := s.ResponseWriter.Write(p)
	s.writing.Stop()
	return n, err
}

// Flush sends what is buffered.
func (s *stalls) Flush() {
	s.starts()
	s.flusher.Flush()
	s.writing.Stop()
}

// Unwrap is for http.ResponseController.
func (s *stalls) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// upload is a request body whose client is not to keep anybody waiting.
type upload struct {
	io.ReadCloser
	limit   time.Duration
	reading *time.Timer
}

// Read's error after a stall is an *h1.Error, as that of a client on HTTP/1.1.
func (u *upload) Read(p []byte) (int, error) {
	u.reading.Reset(u.limit)
	n, err := u.ReadCloser.Read(p)
	u.reading.Stop()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = &h1.Error{Outcome: h1.NoAnswer, Phase: h1.Write, Client: h1.Stalled, Timeout: true, Err: err}
	}
	return n, err
}
