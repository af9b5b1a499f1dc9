package cache

import (
	"net/http"
	"slices"
	"strings"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// asked holds what the cache needs from the head of a request.
type asked struct {
	kind        kind
	head        bool // it is a HEAD
	credentials bool // it has credentials
	cookies     bool // the only credentials are cookies
	conditional bool
	ranged      bool
	only        bool // only-if-cached
}

// kind decides how the cache treats a request.
type kind uint8

const (
	cacheable kind = iota
	passing        // it bypasses the cache
	refused        // no-store
	unsafe         // a method that may change what is stored
)

// read reads a request. own are further fields that are credentials.
func (q *asked) read(r *http.Request, own []string) {
	*q = asked{}
	switch r.Method {
	case http.MethodGet:
	case http.MethodHead:
		q.head = true
	case http.MethodOptions, http.MethodTrace:
		q.kind = passing
		return
	default:
		q.kind = unsafe
		return
	}
	if r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0 {
		q.kind = passing
		return
	}
	others := false
	for name := range r.Header {
		switch {
		case name == "Cookie":
			q.cookies = true
		case wire.OverrideOf(name) != wire.NoOverride: // the answer does not belong to the URL
			q.kind = passing
			return
		case credential(name) || slices.Contains(own, name):
			others = true
		}
	}
	q.credentials = q.cookies || others
	q.cookies = q.cookies && !others
	h := r.Header
	q.ranged = len(h["Range"]) > 0
	q.conditional = len(h["If-None-Match"]) > 0 || len(h["If-Modified-Since"]) > 0
	if len(h["If-Match"]) > 0 || len(h["If-Unmodified-Since"]) > 0 {
		q.kind = passing
	}
	q.readControl(h)
}

// Safe reports whether a method is safe (RFC 9110 section 9.2.1), so that it
// changes nothing that is stored. An unknown method is not safe.
func Safe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}

	return false
}

// readControl reads only no-store and only-if-cached. The other directives of
// requests are ignored, because a client could use them to send every request
// to the service.
func (q *asked) readControl(h http.Header) {
	lines := h["Cache-Control"]
	if len(lines) == 0 {
		return
	}
	d := parseControl(lines)
	q.only = d.onlyIfCached
	if d.noStore && q.kind == cacheable {
		q.kind = refused
	}
}

// credential reports whether a field may identify the client.
func credential(name string) bool {
	if len(name) < len("Cookie") {
		return false
	}
	switch name[0] {
	case 'A':
		return name == "Authorization"
	case 'C':
		return name == "Cf-Access-Jwt-Assertion" || name == "Client-Cert"
	case 'P':
		return name == "Proxy-Authorization"
	case 'X':
		return name == "X-Api-Key" || name == "X-Forwarded-User" || name == "X-Forwarded-Access-Token" ||
			name == "X-Forwarded-Email" || name == "X-Forwarded-Preferred-Username" ||
			name == "X-Forwarded-Groups" || name == "X-Forwarded-Client-Cert" ||
			strings.HasPrefix(name, "X-Goog-Iap-") ||
			strings.HasPrefix(name, "X-Goog-Authenticated-User-") ||
			strings.HasPrefix(name, "X-Auth-Request-")
	}
	return false
}

// appendURL appends the URL in the store's form: scheme and host as the client
// used them, and the received bytes of path and query.
func appendURL(to []byte, scheme, host, target string) []byte {
	to = append(to, scheme...)
	to = append(to, "://"...)
	start := len(to)
	for i := 0; i < len(host); i++ {
		c := host[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		to = append(to, c)
	}
	to = withoutDefaultPort(to, start, scheme)
	if !strings.HasPrefix(target, "/") {
		target = originForm(target)
	}
	return append(to, target...)
}

func withoutDefaultPort(url []byte, start int, scheme string) []byte {
	port := ":80"
	if scheme == "https" {
		port = ":443"
	}
	if n := len(url) - len(port); n > start && string(url[n:]) == port {
		url = url[:n]
	}
	return url
}

// originForm removes scheme and authority from an absolute target (RFC 9112
// section 3.2.2).
func originForm(target string) string {
	_, rest, found := strings.Cut(target, "://")
	if !found {
		return target
	}
	i := strings.IndexAny(rest, "/?")
	switch {
	case i < 0:
		return "/"
	case rest[i] == '?':
		return "/" + rest[i:]
	}
	return rest[i:]
}

// withoutParameters removes parameters from the query of a target. Names are
// compared as they were received. "utm_*" stands for all names that begin with
// utm_.
func withoutParameters(target string, ignored []string) string {
	path, query, found := strings.Cut(target, "?")
	if !found || len(ignored) == 0 {
		return target
	}
	kept := 0
	var out strings.Builder
	for part := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(part, "=")
		if slices.ContainsFunc(ignored, func(pattern string) bool { return matches(pattern, name) }) {
			continue
		}
		if kept++; kept > 1 {
			out.WriteByte('&')
		}
		out.WriteString(part)
	}
	switch {
	case out.Len() == len(query):
		return target
	case kept == 0:
		return path
	}
	return path + "?" + out.String()
}

func matches(pattern, name string) bool {
	beginning, star := strings.CutSuffix(pattern, "*")
	return pattern == name || star && strings.HasPrefix(name, beginning)
}

// hasTag reports whether one of the tags of If-None-Match is the stored tag, by
// the weak comparison (RFC 9110 section 8.8.3.2).
func hasTag(lines []string, tag string) bool {
	if tag == "" {
		return false
	}
	tag = strings.TrimPrefix(tag, "W/")
	for _, line := range lines {
		for line != "" {
			end := elementEnd(line)
			candidate := wire.TrimBlanks(line[:end])
			if candidate == "*" || strings.TrimPrefix(candidate, "W/") == tag {
				return true
			}
			if end == len(line) {
				break
			}
			line = line[end+1:]
		}
	}
	return false
}
