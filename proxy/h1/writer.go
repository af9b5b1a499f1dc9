package h1

import (
	"bufio"
	"errors"
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

var (
	errCut      = errors.New("body shorter than its declared length")
	errHijacked = http.ErrHijacked
)

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

// WriteHeader sends a 1xx at once, a 100 at most once and only to a client that waits for it.
func (w *writer) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic("invalid status " + strconv.Itoa(status))
	}
	if w.wrote || w.conn.state.Load() == tunnel {
		return
	}
	if status < 200 && status != http.StatusSwitchingProtocols {
		w.informational(status)
		return
	}
	w.begin(status, nil)
	if !w.committed && (w.length >= 0 || w.bodyless) {
		w.commit()
	}
}

// WriteHeaderFrom is WriteHeader for a response that is passed on: the fields of from are written too, but for those
// that the writer's own map has an entry for. What concerns the connection that from came on is left out. from is not
// kept, and copying it into the map, field by field, is saved.
func (w *writer) WriteHeaderFrom(status int, from http.Header) {
	if w.wrote || w.conn.state.Load() == tunnel {
		return
	}
	w.begin(status, from)
	if !w.committed && (w.length >= 0 || w.bodyless) {
		w.commit()
	}
}

// begin writes the status line and the handler's fields. The map may be changed by the handler later without effect.
func (w *writer) begin(status int, from http.Header) {
	w.mu.Lock()
	w.final = true
	w.mu.Unlock()
	w.wrote, w.status = true, status
	w.bodyless = w.head || status == http.StatusNoContent || status == http.StatusNotModified || status < 200
	w.line(status)
	w.declared()
	for name, values := range w.header {
		if err := w.field(name, values); err != nil {
			w.unwritable(err)
			return
		}
	}
	for name, values := range from {
		if _, own := w.header[name]; own || name == "Connection" {
			continue
		}
		if err := w.field(name, values); err != nil {
			w.unwritable(err)
			return
		}
	}
}

// line is the status line.
func (w *writer) line(status int) {
	if status == http.StatusOK {
		w.out = append(w.out, "HTTP/1.1 200 OK\r\n"...)
		return
	}
	w.out = append(w.out, "HTTP/1.1 "...)
	w.out = strconv.AppendInt(w.out, int64(status), 10)
	w.out = append(w.out, ' ')
	w.out = append(w.out, http.StatusText(status)...)
	w.out = append(w.out, "\r\n"...)
}

// declared notes the fields that the handler will set later, as trailers.
func (w *writer) declared() {
	for _, list := range w.header["Trailer"] {
		for name := range strings.SplitSeq(list, ",") {
			key, k := canonical(trimBlanks(name))
			if (k == plain || k == date) && isToken(key) {
				w.trailers = append(w.trailers, key)
			}
		}
	}
}

// field writes one entry of the handler's map, unless it is not the handler's to say.
func (w *writer) field(name string, values []string) error {
	key, k, known := spelled(name)
	switch k {
	case plain, routing:
		if len(w.trailers) > 0 && slices.Contains(w.trailers, key) || strings.HasPrefix(name, http.TrailerPrefix) {
			return nil
		}
	case date:
		w.dated = w.dated || len(values) > 0
	case contentLength:
		w.length = declaredLength(values)
		return nil
	case connection:
		w.options(values)
		return nil
	case upgrade:
		if w.status != http.StatusSwitchingProtocols {
			return nil
		}
	case expect, te, host:
	default:
		return nil
	}
	if !known && !isToken(key) {
		return errBadField
	}
	out, err := appendValues(w.out, key, values)
	w.out = out
	return err
}

// declaredLength is -1 for a Content-Length that is not exactly one.
func declaredLength(values []string) int64 {
	if len(values) == 1 {
		if n, ok := parseLength(values[0]); ok {
			return n
		}
	}
	return -1
}

func (w *writer) options(values []string) {
	var b block
	for _, v := range values {
		b.options(v)
	}
	w.closing = w.closing || b.close
}

// unwritable answers 500 in place of fields that would break the message, and lets the handler write no more.
func (w *writer) unwritable(err error) {
	w.out = append(w.out[:0], "HTTP/1.1 500 Internal Server Error\r\n"...)
	w.status, w.length, w.bodyless, w.closing, w.dated = http.StatusInternalServerError, 0, true, true, false
	w.commit()
	w.emit(w.out)
	w.out = w.out[:0]
	w.err = err
	w.conn.report(http.StatusInternalServerError, "", err.Error())
}

// commit closes the head with what frames the message and governs the connection.
func (w *writer) commit() {
	w.committed = true
	w.closing = w.closing || w.conn.mustClose()
	switch {
	case w.length >= 0:
		if w.status != http.StatusNoContent && w.status >= 200 {
			w.out = append(w.out, "Content-Length: "...)
			w.out = strconv.AppendInt(w.out, w.length, 10)
			w.out = append(w.out, "\r\n"...)
		}
	case w.bodyless:
	case w.minor == 0:
		w.closing = true
	default:
		w.chunked = true
		w.out = append(w.out, "Transfer-Encoding: chunked\r\n"...)
		if len(w.trailers) > 0 {
			w.out = append(w.out, "Trailer: "...)
			w.out = append(w.out, strings.Join(w.trailers, ", ")...)
			w.out = append(w.out, "\r\n"...)
		}
	}
	if !w.dated {
		w.out = append(w.out, "Date: "...)
		w.out = append(w.out, w.conn.server.date()...)
		w.out = append(w.out, "\r\n"...)
	}
	w.out = append(w.out, w.connectionField()...)
	w.out = append(w.out, "\r\n"...)
}

// connectionField is what the client has to know about the connection; HTTP/1.1 says nothing to keep it.
func (w *writer) connectionField() string {
	switch {
	case w.status == http.StatusSwitchingProtocols:
		return "Connection: Upgrade\r\n"
	case w.closing:
		return "Connection: close\r\n"
	case w.minor == 0:
		return "Connection: keep-alive\r\n"
	}
	return ""
}

// mustClose says that the connection cannot outlive the answer that begins now.
func (c *conn) mustClose() bool {
	return c.server.draining.Load() || c.x.body.expects && c.x.writer.owes() || c.x.body.tooLong()
}

// informational sends a 1xx at once, with the fields that are in the map now.
func (w *writer) informational(status int) {
	if w.minor == 0 {
		return
	}
	if status == http.StatusContinue {
		w.proceed()
		return
	}
	w.line(status)
	for name, values := range w.header {
		if key, k := canonical(name); k == plain || k == routing {
			out, err := appendFields(w.out, key, values)
			if err != nil {
				w.out = w.out[:0]
				return
			}
			w.out = out
		}
	}
	w.out = append(w.out, "\r\n"...)
	w.emit(w.out)
	w.out = w.out[:0]
}

// proceed tells a client that waits for it to send its body: once, and not after the final answer has begun. It says
// whether the client was told.
func (w *writer) proceed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.continued && !w.final && w.conn.x.body.expects {
		w.continued = true
		w.conn.write([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
	}
	return w.continued
}

// owes says that the client was not told.
func (w *writer) owes() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.continued
}

// Write fails with http.ErrBodyNotAllowed, http.ErrContentLength, or what the connection failed with.
func (w *writer) Write(p []byte) (int, error) {
	switch {
	case w.conn.state.Load() == tunnel:
		return 0, errHijacked
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

// Flush is FlushError.
func (w *writer) Flush() { w.FlushError() }

// FlushError sends what was written so far.
func (w *writer) FlushError() error {
	if w.conn.state.Load() == tunnel {
		return errHijacked
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

// SetReadDeadline and SetWriteDeadline are for http.ResponseController.
func (w *writer) SetReadDeadline(t time.Time) error {
	w.conn.armed = time.Time{}
	return w.conn.c.SetReadDeadline(t)
}

func (w *writer) SetWriteDeadline(t time.Time) error { return w.conn.c.SetWriteDeadline(t) }

// EnableFullDuplex is how it always is.
func (w *writer) EnableFullDuplex() error { return nil }

// Hijack hands the connection to the handler. It works only for requests that ask for an upgrade: all others are
// answered while the connection is still being waited on.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.conn.hijack() }
