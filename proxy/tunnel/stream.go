package tunnel

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Stream is the client's side of a tunnel in an HTTP/2 stream. net/http can't
// end one direction of it alone: what is ended towards the client is ended both
// ways, which no WebSocket notices, because its closing handshake comes before.
type Stream struct {
	io.ReadCloser        // from the client
	Key           string // of the handshake with the backend, for Sec-WebSocket-Key

	w       http.ResponseWriter
	control *http.ResponseController

	closed  atomic.Bool
	writing atomic.Bool
	// Held while the stream is closed, and once more before the handler
	// returns.
	mu sync.Mutex
}

// NewStream makes a Stream from the two directions of an HTTP/2 stream, with a
// key for a new handshake.
func NewStream(w http.ResponseWriter, r io.ReadCloser) *Stream {
	var nonce [16]byte
	rand.Read(nonce[:])

	return &Stream{
		ReadCloser: r,
		w:          w,
		control:    http.NewResponseController(w),
		Key:        base64.StdEncoding.EncodeToString(nonce[:]),
	}
}

// Flush sends what was written, and the answer's head before it.
func (s *Stream) Flush() { s.control.Flush() }

// Accepts reports whether a 101 answers the stream's own handshake (RFC 6455
// section 4.2.2).
func (s *Stream) Accepts(resp *http.Response) bool {
	sum := sha1.Sum([]byte(s.Key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	got := resp.Header["Sec-Websocket-Accept"]
	return len(got) == 1 && got[0] == base64.StdEncoding.EncodeToString(sum[:])
}

// Write sends p at once. It waits for the client's flow-control window until
// the stream is closed.
func (s *Stream) Write(p []byte) (int, error) {
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

// CloseWrite closes the stream. END_STREAM is sent when the handler returns.
func (s *Stream) CloseWrite() error { return s.Close() }

// Close closes the stream. It may be called from any goroutine. A Write that
// waits is ended by a reset.
func (s *Stream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Swap(true) {
		return nil
	}

	s.interrupt()
	return s.ReadCloser.Close()
}

// interrupt resets the stream if a Write waits. The caller holds the mutex.
func (s *Stream) interrupt() {
	if s.writing.Load() {
		s.control.SetWriteDeadline(time.Unix(1, 0))
	}
}

// SetWriteDeadline ends a Write that still waits at the given time.
func (s *Stream) SetWriteDeadline(end time.Time) error {
	time.AfterFunc(time.Until(end), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.closed.Load() {
			s.interrupt()
		}
	})
	return nil
}
