package h1

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// WriteHeader sends a 1xx at once. It sends a 100 only once, and only to a
// client that waits for it.
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
	if !w.headWritten && (w.length >= 0 || w.bodyless) {
		w.writeHead()
	}
}

// WriteHeaderFrom is WriteHeader for a response that is passed on. The fields
// of from are written too, except those that are in the writer's own map and
// those that concern the connection that from came on. from is not kept. This
// saves copying it into the map.
func (w *writer) WriteHeaderFrom(status int, from http.Header) {
	if w.wrote || w.conn.state.Load() == tunnel {
		return
	}

	w.begin(status, from)
	if !w.headWritten && (w.length >= 0 || w.bodyless) {
		w.writeHead()
	}
}

// begin writes the status line and the handler's fields. Later changes of the
// map have no effect.
func (w *writer) begin(status int, from http.Header) {
	w.mu.Lock()
	w.final = true
	w.mu.Unlock()
	w.wrote, w.status = true, status
	w.bodyless = w.head || status == http.StatusNoContent || status == http.StatusNotModified ||
		status < 200
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

// line returns the status line.
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

// declared notes the trailers that the handler announces.
func (w *writer) declared() {
	for _, list := range w.header["Trailer"] {
		for name := range strings.SplitSeq(list, ",") {
			key, k := canonical(wire.TrimBlanks(name))
			if (k == plain || k == date) && wire.IsToken(key) {
				w.trailers = append(w.trailers, key)
			}
		}
	}
}

// field writes one entry of the handler's map, unless the handler must not set
// it.
func (w *writer) field(name string, values []string) error {
	key, k, known := spelled(name)
	switch k {
	case plain, routing:
		if len(w.trailers) > 0 && slices.Contains(w.trailers, key) ||
			strings.HasPrefix(name, http.TrailerPrefix) {
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

	if !known && !wire.IsToken(key) {
		return errBadField
	}

	out, err := appendValues(w.out, key, values)
	w.out = out
	return err
}

// declaredLength returns the Content-Length, or -1 if there is not exactly one
// valid value.
func declaredLength(values []string) int64 {
	if len(values) == 1 {
		if n, ok := wire.ParseLength(values[0]); ok {
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

// unwritable answers 500 instead of fields that would break the message. The
// handler can write nothing more.
func (w *writer) unwritable(err error) {
	w.out = append(w.out[:0], "HTTP/1.1 500 Internal Server Error\r\n"...)
	w.status, w.length = http.StatusInternalServerError, 0
	w.bodyless, w.closing, w.dated = true, true, false
	w.writeHead()
	w.emit(w.out)
	w.out = w.out[:0]
	w.err = err
	w.conn.report(http.StatusInternalServerError, "", err.Error())
}

// writeHead completes the head with framing and connection fields.
func (w *writer) writeHead() {
	w.headWritten = true
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

// connectionField returns the Connection field. An HTTP/1.1 connection is kept
// without one.
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

// mustClose reports whether the connection ends after this answer.
func (c *conn) mustClose() bool {
	return c.server.draining.Load() ||
		c.x.body.expects && c.x.writer.continuePending() ||
		c.x.body.tooLong()
}

// informational sends a 1xx at once, with the fields that are in the map.
func (w *writer) informational(status int) {
	if w.minor == 0 {
		return
	}

	if status == http.StatusContinue {
		w.sendContinue()
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

// sendContinue tells a client that waits for it to send its body: once, and not
// after the final answer has begun. It reports whether the client was told.
func (w *writer) sendContinue() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.continued && !w.final && w.conn.x.body.expects {
		w.continued = true
		w.conn.write([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
	}

	return w.continued
}

// continuePending reports whether the client was not told to send its body.
func (w *writer) continuePending() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.continued
}
