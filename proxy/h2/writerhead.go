package h2

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// WriteHeader uses the fields that are in the map now. A 1xx is sent at once.
func (w *writer) WriteHeader(status int) { w.WriteHeaderFrom(status, nil) }

// WriteHeaderFrom is WriteHeader for a response that is passed on: the fields
// of from are written too, except those that are in the writer's own map and
// those that concern the connection that from came on. from is not kept.
func (w *writer) WriteHeaderFrom(status int, from http.Header) {
	switch {
	case status < 100 || status > 999:
		panic("invalid status " + strconv.Itoa(status))
	case w.wrote:
	case status < 200:
		w.informational(status)
	default:
		w.head(status, from)
	}
}

// head lists the fields of the final head.
func (w *writer) head(status int, from http.Header) {
	w.wrote, w.status = true, status
	w.bodyless = bodyless(w.x.request.Method, status)
	for _, list := range w.header["Trailer"] {
		for element := range strings.SplitSeq(list, ",") {
			w.announced = append(w.announced, http.CanonicalHeaderKey(wire.TrimBlanks(element)))
		}
	}
	if options := w.header["Connection"]; options != nil && wire.HasToken(options, "close") {
		w.x.c.retire()
	}

	for key, values := range w.header {
		w.add(key, values)
	}
	for key, values := range from {
		if _, own := w.header[key]; !own {
			w.add(key, values)
		}
	}
	if !w.dated {
		w.fields = append(w.fields, field{nDate, w.x.server.date()})
	}
}

// add takes a field for the head, unless it concerns a connection of HTTP/1.1
// or is a trailer.
func (w *writer) add(key string, values []string) {
	n := nameOf(key)
	if n == nil {
		return
	}
	switch n.kind {
	case connection, pseudo, host, te:
		return
	case contentLength:
		length, ok := int64(0), len(values) == 1
		if ok {
			length, ok = wire.ParseLength(values[0])
		}
		if !ok {
			return
		}
		w.length = length
	}
	if n == nDate {
		w.dated = len(values) > 0
	}
	if strings.HasPrefix(key, http.TrailerPrefix) || slices.Contains(w.announced, n.key) {
		return
	}
	w.fields = appendFields(w.fields, n, values)
}

// appendFields appends the lines of a field, except values that can't be sent.
func appendFields(fields []field, n *name, values []string) []field {
	for _, v := range values {
		if v = wire.TrimBlanks(v); wire.IsValue(v) {
			fields = append(fields, field{n, v})
		}
	}
	return fields
}

// informational sends a 1xx (RFC 9110 section 15.2). 101 does not exist in
// HTTP/2 (RFC 9113 section 8.6).
func (w *writer) informational(status int) {
	if status == http.StatusSwitchingProtocols {
		return
	}
	for key, values := range w.header {
		w.add(key, values)
	}

	c := w.x.c
	c.mu.Lock()
	if !w.x.gone && !w.committed && (status != http.StatusContinue || w.x.expects) {
		if status == http.StatusContinue {
			w.x.expects = false
		}
		c.appendSection(w.x.id, status, w.fields, false)
		c.kick()
	}
	c.mu.Unlock()
	w.fields, w.length, w.dated = w.fields[:0], -1, false
}
