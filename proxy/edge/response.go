package edge

import (
	"net/http"
	"net/textproto"
	"strings"
)

// Passable reports whether a response's fields can be passed on without a copy.
// That is the case if no Connection field names one of them, and the server
// itself leaves out every field that must not be passed on.
func Passable(from http.Header) bool {
	if c := from["Connection"]; len(c) > 1 ||
		len(c) == 1 && !strings.EqualFold(c[0], "close") && !strings.EqualFold(c[0], "keep-alive") {
		return false
	}
	return from["Proxy-Authenticate"] == nil
}

// CopyResponse copies the fields that are for the client. The values are
// shared, because the response is kept until the handler has finished.
func CopyResponse(to, from http.Header) {
	for k, v := range from {
		switch k {
		case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate",
			"Transfer-Encoding", "Upgrade", "Te", "Trailer":
			continue
		}
		to[k] = v
	}

	if c := from["Connection"]; c != nil {
		dropNamed(to, c)
	}
}

// dropNamed removes the fields that a Connection field names (RFC 9110 section
// 7.6.1).
func dropNamed(h http.Header, connection []string) {
	for _, line := range connection {
		for name := range strings.SplitSeq(line, ",") {
			name = strings.Trim(name, " \t")
			if name != "" && !endToEnd(name) {
				delete(h, textproto.CanonicalMIMEHeaderKey(name))
			}
		}
	}
}

// endToEnd reports whether a field must stay even if Connection names it: the
// fields that frame or route a message, and those that other parties rely on.
func endToEnd(name string) bool {
	switch strings.ToLower(name) {
	case "host", "content-length", "content-type", "content-encoding", "set-cookie", "cookie",
		"authorization", "location", "cache-control":
		return true
	}
	return false
}
