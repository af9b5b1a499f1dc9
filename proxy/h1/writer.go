package h1

import (
	"bufio"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// outLimit is how many bytes of an answer are collected before they are
// written.
const outLimit = 16 << 10

// writer is the http.ResponseWriter of one transaction. Nothing is sent before
// the handler returns, flushes, or writes more than a buffer holds, so a small
// answer is one write. A body without a declared length is held back: if the
// handler returns before the buffer is full, the length is known.
type writer struct {
	conn   *conn
	header http.Header
	out    []byte // bytes to send
	hold   []byte // body bytes after a head that is not complete yet

	status      int
	minor       int  // the request's version
	head        bool // the request is a HEAD
	wrote       bool // WriteHeader was called
	headWritten bool // the head is complete
	bodyless    bool
	chunked     bool
	closing     bool // the connection ends after this answer
	cut         bool // and the answer is incomplete
	sent        bool // bytes of the final answer were sent
	dated       bool
	length      int64 // declared, or -1
	written     int64 // body bytes accepted
	trailers    []string
	err         error

	// guards the fields below, because another goroutine may read the body
	// first
	mu        sync.Mutex
	continued bool // a 100 was sent
	final     bool // a final answer has begun
}

func (w *writer) reset(x *transaction) {
	w.status, w.minor, w.head = 0, x.minor, x.request.Method == http.MethodHead
	w.wrote, w.headWritten, w.bodyless, w.chunked = false, false, false, false
	w.cut, w.sent, w.dated = false, false, false
	w.closing = x.request.Close
	w.length, w.written, w.err = -1, 0, nil
	w.trailers, w.hold, w.out = w.trailers[:0], w.hold[:0], w.out[:0]
	w.continued, w.final = false, false
	if len(w.header) > keepFields {
		w.header = make(http.Header, smallMap)
	}

	clear(w.header)
}

// release drops the handler's values and large buffers.
func (w *writer) release() {
	clear(w.header)
	if cap(w.out) > 2*outLimit {
		w.out = make([]byte, 0, 4<<10)
	}
	if cap(w.hold) > 2*outLimit {
		w.hold = nil
	}

	w.cut = false
}

// Header is as in net/http. Connection, Keep-Alive, Transfer-Encoding and
// Upgrade are not sent; "close" in Connection has its effect.
func (w *writer) Header() http.Header { return w.header }

// Write fails with http.ErrBodyNotAllowed, http.ErrContentLength, or the
// connection's error.
func (w *writer) Write(p []byte) (int, error) {
	switch {
	case w.conn.state.Load() == tunnel:
		return 0, http.ErrHijacked
	case !w.wrote:
		w.WriteHeader(http.StatusOK)
	}

	switch {
	case w.err != nil:
		return 0, w.err
	case w.bodyless && !w.head:
		return 0, http.ErrBodyNotAllowed
	case w.length >= 0 && w.written+int64(len(p)) > w.length && !w.bodyless:
		return 0, http.ErrContentLength
	}

	w.written += int64(len(p))
	switch {
	case w.bodyless || len(p) == 0:
		return len(p), nil
	case w.headWritten:
		return len(p), w.data(p)
	case len(w.hold)+len(p) <= outLimit:
		w.hold = append(w.hold, p...)
		return len(p), nil
	}

	if err := w.flushHeld(); err != nil {
		return 0, err
	}

	return len(p), w.data(p)
}

// flushHeld stops waiting for the end of a body of unknown length.
func (w *writer) flushHeld() error {
	w.writeHead()
	hold := w.hold
	w.hold = w.hold[:0]
	if len(hold) == 0 {
		return nil
	}

	return w.data(hold)
}

// data frames body bytes. It collects them, or writes them together with what
// was collected.
func (w *writer) data(p []byte) error {
	var tail []byte
	if w.chunked {
		w.out = strconv.AppendUint(w.out, uint64(len(p)), 16)
		w.out = append(w.out, "\r\n"...)
		tail = crlf
	}

	if len(w.out)+len(p) <= outLimit {
		w.out = append(append(w.out, p...), tail...)
		return nil
	}

	err := w.emit(w.out, p, tail)
	w.out = w.out[:0]
	return err
}

// emit writes to the connection and keeps the error.
func (w *writer) emit(pieces ...[]byte) error {
	if w.err == nil {
		w.err = w.conn.write(pieces...)
		w.sent = w.sent || w.wrote
	}
	return w.err
}

// Retract takes back an answer of which nothing was sent, so that the handler
// can give another one. It reports whether it could.
func (w *writer) Retract() bool {
	if w.sent || w.err != nil || w.conn.state.Load() == tunnel {
		return false
	}

	w.mu.Lock()
	defer w.mu.Unlock()
	continued := w.continued
	w.reset(w.conn.x)
	w.continued = continued

	return true
}

// Flush is FlushError.
func (w *writer) Flush() { w.FlushError() }

// FlushError sends what was written so far.
func (w *writer) FlushError() error {
	if w.conn.state.Load() == tunnel {
		return http.ErrHijacked
	}
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}

	if !w.headWritten {
		w.flushHeld()
	}
	if len(w.out) == 0 {
		return w.err
	}

	err := w.emit(w.out)
	w.out = w.out[:0]
	return err
}

// finish ends the answer after the handler has returned. An answer shorter than
// declared is left without its end.
func (w *writer) finish() {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	if !w.headWritten {
		w.finishHead()
	}

	if w.chunked {
		w.end()
	}

	if len(w.out) > 0 {
		w.emit(w.out)
		w.out = w.out[:0]
	}

	if w.length >= 0 && w.written < w.length && !w.bodyless {
		w.cut = true
	}
}

// finishHead completes a head whose body is in the buffer as a whole.
func (w *writer) finishHead() {
	if w.hasTrailers() && w.minor == 1 {
		w.flushHeld()
		return
	}

	w.length = int64(len(w.hold))
	w.writeHead()
	w.data(w.hold)
}

// hasTrailers reports whether there are trailers to send, by either way in
// which net/http names them.
func (w *writer) hasTrailers() bool {
	for _, name := range w.trailers {
		if len(w.header[name]) > 0 {
			return true
		}
	}

	for name := range w.header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return true
		}
	}

	return false
}

// end writes the last chunk and the trailers. A trailer that is not valid cuts
// the answer.
func (w *writer) end() {
	w.out = append(w.out, "0\r\n"...)
	for name, values := range w.header {
		key, prefixed := strings.CutPrefix(name, http.TrailerPrefix)
		key, k := canonical(key)
		if !prefixed && !slices.Contains(w.trailers, key) {
			continue
		}

		if k != plain && k != date {
			continue
		}

		out, err := appendFields(w.out, key, values)
		if err != nil {
			w.cut, w.out = true, w.out[:0]
			return
		}

		w.out = out
	}

	w.out = append(w.out, "\r\n"...)
}

// SetReadDeadline is for http.ResponseController.
func (w *writer) SetReadDeadline(t time.Time) error {
	w.conn.armed = time.Time{}
	return w.conn.c.SetReadDeadline(t)
}

// SetWriteDeadline is for http.ResponseController.
func (w *writer) SetWriteDeadline(t time.Time) error { return w.conn.c.SetWriteDeadline(t) }

// EnableFullDuplex does nothing, because both directions always work at the
// same time.
func (w *writer) EnableFullDuplex() error { return nil }

// Hijack gives the connection to the handler. It works only for requests that
// ask for an upgrade, because all others are answered inside the poller's
// callback.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.conn.hijack() }
