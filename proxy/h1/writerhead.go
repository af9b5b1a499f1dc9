package h1

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

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
