package wire

import (
	"net/http"
	"strings"
)

// ValidEscapes reports whether each "%" in the path of a request target begins
// an escape of two hexadecimal digits (RFC 3986 section 2.1). Servers disagree
// about a path that breaks this rule: to some it is a path, to others an error.
func ValidEscapes(target string) bool {
	path, _, _ := strings.Cut(target, "?")

	for {
		i := strings.IndexByte(path, '%')
		if i < 0 {
			return true
		}

		if len(path) < i+3 || !isHex(path[i+1]) || !isHex(path[i+2]) {
			return false
		}

		path = path[i+3:]
	}
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'F' || 'a' <= c && c <= 'f'
}

// OriginForm returns the path and query of an absolute-form target as they were
// received, and "" for any other target. For an OPTIONS request without a path
// it returns "*" (RFC 9112 section 3.2.4).
func OriginForm(method, target string) string {
	_, rest, ok := strings.Cut(target, "://")
	if !ok {
		return ""
	}

	i := strings.IndexAny(rest, "/?")
	switch {
	case i >= 0 && rest[i] == '/':
		return rest[i:]
	case i >= 0:
		return "/" + rest[i:]
	case method == http.MethodOptions:
		return "*"
	}

	return "/"
}
