package h1

import (
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// parseTarget fills u from a request target (RFC 9112 section 3.2) and returns the host that an absolute-form target
// names. A CONNECT and an authority-form target are refused: nothing here tunnels by name.
func parseTarget(u *url.URL, method, target string) (host string, err *refusal) {
	switch {
	case method == http.MethodConnect:
		return "", &refusal{http.StatusMethodNotAllowed, "CONNECT"}
	case target[0] == '/':
		return "", parseOrigin(u, target)
	case target == "*":
		if method != http.MethodOptions {
			return "", malformed("asterisk target without OPTIONS")
		}
		*u = url.URL{Path: "*"}
		return "", nil
	}
	return parseAbsolute(u, target)
}

// parseOrigin slices the usual target and leaves escapes and odd characters to net/url.
func parseOrigin(u *url.URL, target string) *refusal {
	i := 0
	for i < len(target) && chars[target[i]]&inPath != 0 {
		i++
	}
	switch {
	case i == len(target):
		*u = url.URL{Path: target}
	case target[i] == '?' && i+1 < len(target):
		*u = url.URL{Path: target[:i], RawQuery: target[i+1:]}
	default:
		parsed, err := url.ParseRequestURI(target)
		if err != nil {
			return malformed("malformed target")
		}
		*u = *parsed
	}
	return nil
}

// parseAbsolute reads the form that clients use towards proxies.
func parseAbsolute(u *url.URL, target string) (host string, _ *refusal) {
	parsed, err := url.ParseRequestURI(target)
	if err != nil || parsed.User != nil || (parsed.Scheme != "http" && parsed.Scheme != "https") {
		return "", malformed("malformed target")
	}
	if !validHost(parsed.Host) {
		return "", malformed("bad host in target")
	}
	*u = *parsed
	return parsed.Host, nil
}

// origin is the path and query of an absolute-form target as they were received, "" for anything else (RFC 9112
// section 3.2.4: an OPTIONS without a path asks for "*").
func origin(method, target string) string {
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

// validHost is a name or an address with an optional port: RFC 3986's host without escapes and sub-delimiters, which no
// DNS name has and which peers read differently.
func validHost(s string) bool {
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 || strings.IndexByte(s[:end], '%') >= 0 {
			return false
		}
		addr, err := netip.ParseAddr(s[1:end])
		return err == nil && addr.Is6() && validPort(s[end+1:])
	}
	i := 0
	for i < len(s) && chars[s[i]]&inHost != 0 {
		i++
	}
	return i > 0 && validPort(s[i:])
}

// validPort is "" or a colon and a port, which may be empty.
func validPort(s string) bool {
	if s == "" || s == ":" {
		return true
	}
	if s[0] != ':' || s[1] == '+' {
		return false
	}
	_, err := strconv.ParseUint(s[1:], 10, 16)
	return err == nil
}
