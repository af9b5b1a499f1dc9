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

// outLimit is how much of an answer is gathered before it is written without being asked.
const outLimit = 16 << 10

// writer is the http.ResponseWriter of one exchange. Nothing leaves before the handler returns, flushes or writes more
// than a buffer holds, so that a small answer is one write. A body whose length nobody declared is held back: if the
// handler returns before the buffer is full, the length is known after all.
type writer struct {
	conn   *conn
	header http.Header
	out    []byte // bytes for the wire, not written yet
	hold   []byte // body bytes behind a head that is not closed yet

	status    int
	minor     int  // the request's version
	head      bool // the request is a HEAD
	wrote     bool // WriteHeader was called
	committed bool // the head is closed
	bodyless  bool
	chunked   bool
	closing   bool // the connection ends after this answer
	cut       bool // and the answer is not whole
	sent      bool // bytes of the final answer have left
	dated     bool
	length    int64 // declared, or -1
	written   int64 // body bytes accepted
	trailers  []string
	err       error

	mu        sync.Mutex // guards what follows: another goroutine may be the first to read the body
	continued bool       // a 100 was sent
	final     bool       // a final answer has begun
}

func (w *writer) reset(x *exchange) {
	w.status, w.minor, w.head = 0, x.minor, x.request.Method == http.MethodHead
	w.wrote, w.committed, w.bodyless, w.chunked = false, false, false, false
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

// release lets go of the handler's values and of large buffers.
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

// Header is as in net/http. Connection, Keep-Alive, Transfer-Encoding and Upgrade in it are not written; "close" in
// Connection is heeded.
func (w *writer) Header() http.Header { return w.header }

// Write fails with http.ErrBodyNotAllowed, http.ErrContentLength, or what the connection failed with.
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
	case w.committed:
		return len(p), w.data(p)
	case len(w.hold)+len(p) <= outLimit:
		w.hold = append(w.hold, p...)
		return len(p), nil
	}
	if err := w.unhold(); err != nil {
		return 0, err
	}
	return len(p), w.data(p)
}

// unhold gives up waiting for the end of a body of unknown length.
func (w *writer) unhold() error {
	w.commit()
	hold := w.hold
	w.hold = w.hold[:0]
	if len(hold) == 0 {
		return nil
	}
	return w.data(hold)
}

// data frames body bytes and gathers them, or writes them together with what was gathered.
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

// emit writes to the connection and remembers that it failed.
func (w *writer) emit(pieces ...[]byte) error {
	if w.err == nil {
		w.err = w.conn.write(pieces...)
		w.sent = w.sent || w.wrote
	}
	return w.err
}

// Retract takes back an answer of which nothing has left, so that the handler may give another one. It says whether it could.
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
	if !w.committed {
		w.unhold()
	}
	if len(w.out) == 0 {
		return w.err
	}
	err := w.emit(w.out)
	w.out = w.out[:0]
	return err
}

// finish ends the answer when the handler has returned. An answer shorter than declared is left without its end.
func (w *writer) finish() {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	if !w.committed {
		w.settle()
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

// settle closes a head whose body turned out to be all in the buffer.
func (w *writer) settle() {
	if w.hasTrailers() && w.minor == 1 {
		w.unhold()
		return
	}
	w.length = int64(len(w.hold))
	w.commit()
	w.data(w.hold)
}

// hasTrailers says whether there are any to send, by net/http's two ways of naming them.
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

// end writes the last chunk and the trailers. A trailer that cannot be written cuts the answer.
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

// EnableFullDuplex is how it always is.
func (w *writer) EnableFullDuplex() error { return nil }

// Hijack hands the connection to the handler. It works only for requests that ask for an upgrade: all others are
// answered while the connection is still being waited on.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.conn.hijack() }
