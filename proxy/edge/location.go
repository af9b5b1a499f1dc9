package edge

import (
	"net/http"
	"strings"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// OwnOrigin rewrites fields of a response that name the backend's origin, so
// that they name the origin that the client used. It also removes fields that
// are valid only for the backend's origin. backendHost is the Host that the
// backend was sent, or "" if that was the client's own; then nothing has to be
// done. from has the fields of the response, and to gets the changed ones.
func (h *Hop) OwnOrigin(from, to http.Header, backendOrigin, backendHost string) {
	if backendHost == "" {
		return
	}

	scheme, dialled, _ := strings.Cut(backendOrigin, "://")
	secure := h.Secure || scheme == "https"
	for _, name := range [...]string{"Location", "Content-Location"} {
		values := from[name]
		if len(values) == 0 {
			continue
		}
		if rest, ok := cutOrigin(values[0], secure, backendHost, dialled); ok {
			to[name] = []string{h.Origin() + rest}
		}
	}

	if values := from["Refresh"]; len(values) > 0 {
		before, reference, after := cutRefresh(values[0])
		if rest, ok := cutOrigin(reference, secure, backendHost, dialled); ok {
			to["Refresh"] = []string{before + h.Origin() + rest + after}
		}
	}

	// An alternative service belongs to an origin (RFC 7838 section 2), and the
	// backend's origin is not the client's.
	delete(from, "Alt-Svc")
}

// cutRefresh splits the value of a Refresh field, such as "5; url=/path",
// around the reference in it, which may be in quotes. There may be none.
func cutRefresh(value string) (before, reference, after string) {
	const start = len("url=")
	i := 0
	for i+start <= len(value) && !wire.EqualFold(value[i:i+start], "url=") {
		i++
	}
	if i+start > len(value) {
		return value, "", ""
	}

	before, reference = value[:i+start], value[i+start:]
	if reference == "" || reference[0] != '"' && reference[0] != '\'' {
		return before, reference, ""
	}

	// Without a closing quote all the rest is the reference (HTML, "shared
	// declarative refresh steps").
	inner, end := reference[1:], len(reference)-1
	if i := strings.IndexByte(inner, reference[0]); i >= 0 {
		end = i
	}

	return before + reference[:1], inner[:end], inner[end:]
}

// cutOrigin removes scheme and authority from a reference, if it points to one
// of a backend's authorities. Applications build such references from the Host
// and the scheme they were told, or from the port they listen on: with http,
// with the default port of either scheme, or without a scheme ("//host/path").
//
// A reference with https points to the backend only if secure, which means that
// the client or the backend uses https. Otherwise the application asks the
// client to move to https, and the redirect must keep that.
func cutOrigin(reference string, secure bool, authorities ...string) (rest string, ok bool) {
	scheme, behind, found := strings.Cut(reference, "//")
	switch {
	case !found:
		return "", false
	case scheme == "",
		strings.EqualFold(scheme, "http:"),
		secure && strings.EqualFold(scheme, "https:"):
	default:
		return "", false
	}

	end := strings.IndexAny(behind, "/?#")
	if end < 0 {
		end = len(behind)
	}

	for _, authority := range authorities {
		if strings.EqualFold(withoutDefaultPort(behind[:end]), withoutDefaultPort(authority)) {
			return behind[end:], true
		}
	}

	return "", false
}

func withoutDefaultPort(authority string) string {
	return strings.TrimSuffix(strings.TrimSuffix(authority, ":80"), ":443")
}

// Scheme returns the scheme of an origin, with "://".
func Scheme(origin string) string {
	i := strings.Index(origin, "://")
	return origin[:i+3]
}
