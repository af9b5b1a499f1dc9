package cache

import (
	"net/http"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// hasValidator reports whether an answer can be validated.
func hasValidator(h http.Header) bool {
	return first(h, "Etag") != "" || first(h, "Last-Modified") != ""
}

// conditions appends the fields that validate a stored answer (RFC 9111 section
// 4.3.1). They replace those of the client.
func conditions(fields []wire.Field, h http.Header) []wire.Field {
	return append(fields,
		wire.Field{Name: "If-None-Match", Value: first(h, "Etag")},
		wire.Field{Name: "If-Modified-Since", Value: first(h, "Last-Modified")},
	)
}

// unconditional removes the client's conditions from a request, so that the
// service sends the whole answer.
func unconditional(fields []wire.Field) []wire.Field {
	return append(fields, wire.Field{Name: "If-None-Match"}, wire.Field{Name: "If-Modified-Since"})
}

// notModified reports whether the client has the answer already (RFC 9110
// section 13.2.2).
func notModified(r *http.Request, h http.Header, now time.Time) bool {
	if tags := r.Header["If-None-Match"]; len(tags) > 0 {
		return hasTag(tags, first(h, "Etag")) || len(tags) == 1 && tags[0] == "*"
	}
	since, ok := dateOf(r.Header["If-Modified-Since"], now)
	if !ok {
		return false
	}
	modified, ok := dateOf(h["Last-Modified"], now)
	if !ok {
		modified, ok = dateOf(h["Date"], now)
	}
	return ok && !modified.After(since)
}

// withoutContent returns the fields of a 304: all except those that describe
// content, which it does not have (RFC 9110 section 15.4.5).
func withoutContent(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		switch name {
		case "Content-Length", "Content-Type", "Content-Encoding", "Content-Language", "Content-Range":
		default:
			out[name] = values
		}
	}
	return out
}

func first(h http.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}
