package h2

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// gather is the size up to which content waits for more before it is sent.
const gather = 4 << 10

// writer is the http.ResponseWriter of one stream. The head is sent with the
// first content that does not fit into the buffer, at Flush, or when the
// handler returns. So an answer without content is one frame, and no answer
// needs an empty DATA frame at its end. It belongs to the handler's goroutine,
// except committed, which the connection's mutex guards.
type writer struct {
	x         *transaction
	header    http.Header
	fields    []field // of the head
	trailers  []field
	announced []string
	buffer    []byte

	status    int
	length    int64 // declared, or -1
	written   int64 // content that the handler has written
	wrote     bool  // WriteHeader was called
	committed bool  // the head is in the output
	bodyless  bool
	dated     bool
}

func (w *writer) begin() {
	clear(w.header)
	w.fields, w.trailers = w.fields[:0], w.trailers[:0]
	w.announced, w.buffer = w.announced[:0], w.buffer[:0]
	w.status, w.length, w.written = 0, -1, 0
	w.wrote, w.committed, w.bodyless, w.dated = false, false, false, false
}

// Header returns the handler's map.
func (w *writer) Header() http.Header { return w.header }

// Write collects small pieces.
func (w *writer) Write(p []byte) (int, error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case w.bodyless && w.x.request.Method != http.MethodHead:
		return 0, http.ErrBodyNotAllowed
	case w.bodyless:
		return len(p), nil
	case w.length >= 0 && w.written+int64(len(p)) > w.length:
		return 0, http.ErrContentLength
	}
	w.written += int64(len(p))
	if len(w.buffer)+len(p) <= gather {
		w.buffer = append(w.buffer, p...)
		return len(p), nil
	}

	c := w.x.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := w.push(); err != nil {
		return 0, err
	}
	n, err := w.send(p, false)
	c.kick()
	return n, err
}

// WriteString is Write for a string.
func (w *writer) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// push puts the head and the collected content into the output. The caller
// holds the mutex.
func (w *writer) push() error {
	x := w.x
	if x.gone {
		if x.err != nil {
			return x.err
		}
		return errStreamEnded
	}
	if !w.committed {
		w.commit(w.bodyless) // nothing follows the head of such an answer
	}
	if len(w.buffer) == 0 {
		return nil
	}
	_, err := w.send(w.buffer, false)
	w.buffer = w.buffer[:0]
	return err
}

// commit puts the head into the output. The caller holds the mutex.
func (w *writer) commit(end bool) {
	w.committed = true
	w.x.c.appendSection(w.x.id, w.status, w.fields, end)
	if end {
		w.x.outEnd = true
	}
}

// send sends content. A client that accepts none for the stall timeout loses
// the stream.
func (w *writer) send(p []byte, end bool) (int, error) {
	x := w.x
	n, err := x.stream.send(p, end, x.server.StallTimeout)
	if err == errTimeout && !x.gone {
		x.c.rst(x.id, cancel)
		x.err = err
		x.c.remove(&x.stream)
		x.c.kick()
	}
	return n, err
}

// Flush sends the head and what is buffered.
func (w *writer) Flush() { w.FlushError() }

// FlushError is Flush for http.ResponseController.
func (w *writer) FlushError() error {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	c := w.x.c
	c.mu.Lock()
	defer c.mu.Unlock()
	err := w.push()
	c.kick()
	return err
}

// Retract takes back an answer of which nothing was sent, so that the handler
// can give another one. It reports whether it could.
func (w *writer) Retract() bool {
	c := w.x.c
	c.mu.Lock()
	committed := w.committed
	c.mu.Unlock()
	if committed || !w.wrote {
		return false
	}
	w.begin()
	return true
}

// ReadFrom passes on a body from a backend's stream, in the pieces that come,
// without a copy between the two streams.
func (w *writer) ReadFrom(r io.Reader) (int64, error) {
	b, ok := r.(*responseBody)
	if !ok {
		return io.Copy(struct{ io.Writer }{w}, r)
	}
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	total := int64(0)
	for {
		piece, end, err := b.next()
		total += int64(len(piece))
		if len(piece) > 0 {
			werr := w.pass(piece, end || err != nil)
			giveBack(piece)
			if werr != nil {
				return total, werr
			}
		}
		if end || err != nil {
			return total, err
		}
	}
}

// pass sends a piece of content and flushes it. The last piece is not flushed,
// because it leaves with the end of the stream.
func (w *writer) pass(p []byte, last bool) error {
	if _, err := w.Write(p); err != nil || last {
		return err
	}
	return w.FlushError()
}

// finish ends the answer after the handler has returned.
func (w *writer) finish() {
	if !w.wrote {
		w.head(http.StatusOK, nil)
	}
	w.collectTrailers()
}

// end ends the stream. It reports whether the answer is incomplete. The caller
// holds the mutex.
func (w *writer) end() (cut bool) {
	x := w.x
	if w.length >= 0 && w.written < w.length && !w.bodyless {
		return true
	}
	if x.outEnd {
		return false
	}

	trailers := len(w.trailers) > 0
	if !w.committed {
		alone := len(w.buffer) == 0 && !trailers
		w.commit(alone)
		if alone {
			return false
		}
	}
	if len(w.buffer) > 0 || !trailers {
		if _, err := w.send(w.buffer, !trailers); err != nil {
			return false // the stream has ended already
		}
	}
	if trailers && !x.gone {
		x.c.appendSection(x.id, 0, w.trailers, true)
		x.outEnd = true
	}
	return false
}

// collectTrailers finds the trailers in the handler's map: the announced ones,
// and those with net/http's prefix.
func (w *writer) collectTrailers() {
	for _, key := range w.announced {
		w.trailer(key, w.header[key])
	}
	for key, values := range w.header {
		if name, ok := strings.CutPrefix(key, http.TrailerPrefix); ok {
			w.trailer(name, values)
		}
	}
}

func (w *writer) trailer(key string, values []string) {
	if n := nameOf(key); n != nil && n.kind == plain {
		w.trailers = appendFields(w.trailers, n, values)
	}
}

// SetReadDeadline sets the time at which waiting reads of the body fail.
func (w *writer) SetReadDeadline(t time.Time) error {
	c := w.x.c
	c.mu.Lock()
	defer c.mu.Unlock()
	w.x.reader.until(c, t)
	return nil
}

// SetWriteDeadline sets the time at which waiting writes fail, which also ends
// the stream. Any goroutine may call it.
func (w *writer) SetWriteDeadline(t time.Time) error {
	c := w.x.c
	c.mu.Lock()
	defer c.mu.Unlock()
	w.x.stream.writer.until(c, t)
	return nil
}

// EnableFullDuplex does nothing, because both directions always work at the
// same time.
func (w *writer) EnableFullDuplex() error { return nil }
