package h1

import (
	"net/http"
	"net/url"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// parseTarget fills u from a request target (RFC 9112 section 3.2), and returns
// the host of an absolute-form target. It refuses CONNECT and the authority
// form, because this server opens no tunnels by name.
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

// parseOrigin handles the usual target by slicing, and leaves escapes and other
// characters to net/url.
func parseOrigin(u *url.URL, target string) *refusal {
	i := 0
	for i < len(target) && wire.Is(target[i], wire.InPath) {
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

// parseAbsolute handles the form that clients send to proxies.
func parseAbsolute(u *url.URL, target string) (host string, _ *refusal) {
	parsed, err := url.ParseRequestURI(target)
	if err != nil || parsed.User != nil || (parsed.Scheme != "http" && parsed.Scheme != "https") {
		return "", malformed("malformed target")
	}
	if !wire.ValidHost(parsed.Host) {
		return "", malformed("bad host in target")
	}

	*u = *parsed
	return parsed.Host, nil
}
