package wire

import (
	"net/http"
	"slices"
)

// TrailerNames returns the names in a trailer map, sorted; nil for an empty
// one. Call it before anything reads the body of the request, because a reader
// that reaches the end of the body writes to the map.
func TrailerNames(trailer http.Header) []string {
	if len(trailer) == 0 {
		return nil
	}

	names := make([]string, 0, len(trailer))
	for name := range trailer {
		names = append(names, name)
	}

	slices.Sort(names)

	return names
}

// InTrailers reports whether a field is allowed in trailers. Fields for
// framing, routing, authentication and caching, and those about the client, are
// not (RFC 9110 section 6.5.1). key is in the canonical form of net/http.
func InTrailers(key string) bool {
	switch key {
	case "Authorization", "Cache-Control", "Cdn-Loop", "Content-Encoding", "Content-Range",
		"Content-Type", "Cookie", "Forwarded", "If-Match", "If-Modified-Since", "If-None-Match",
		"If-Range", "If-Unmodified-Since", "Location", "Max-Forwards", "Pragma",
		"Proxy-Authenticate", "Proxy-Authorization", "Range", "Set-Cookie", "Via",
		"Www-Authenticate", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
		"X-Real-Ip", "X-Serverless-Authorization":
		return false
	}

	return true
}
