package edge

import (
	"net/http"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// RequestID returns the id of a request, which the logs of all hops share. It
// is a trusted peer's X-Request-Id, or the id of a trace that Pillion or a
// trusted peer began, or else random. An untrusted client can't choose the id,
// because two requests with the same id can't be told apart in the log.
func (h *Hop) RequestID(fields http.Header, t *Trace, texts *wire.Texts) string {
	if ids := fields["X-Request-Id"]; len(ids) == 1 && h.Trusted && goodID(ids[0]) {
		return ids[0]
	}

	id := t.ID
	if id == "" || t.caller && !h.Trusted {
		id = texts.RandomID()
	}

	h.Say("X-Request-Id", id)

	return id
}

// goodID reports whether an id is safe in a log line and in a header field: up
// to 128 visible characters without quotes and backslashes.
func goodID(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}

	for i := range len(id) {
		if c := id[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}

	return true
}
