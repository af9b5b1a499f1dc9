package h1

import (
	"errors"
	"net/http"
	"strings"
)

var (
	errTwoHosts = errors.New("host that differs from the authority")
	errStatus   = errors.New("malformed status")
	errLength   = errors.New("content-length that is malformed, repeated or not the body's")
)

// Unambiguous says why a request that another parser than this package's took may not be forwarded. net/http's HTTP/2
// server leaves methods, targets, authorities and lengths to its handlers as they came, and to HTTP/2 backends they
// would go on so: RFC 9113 section 8.2.1, 8.3.1 and 8.1.1.
func Unambiguous(r *http.Request) error {
	target := r.RequestURI
	switch {
	case !isToken(r.Method):
		return errMethod
	case !strings.HasPrefix(target, "/") && (target != "*" || r.Method != http.MethodOptions):
		return errTarget
	case !every(target, inTarget) || !escapes(target):
		return errTarget
	case !validHost(r.Host):
		return errHost
	}
	if hosts := r.Header["Host"]; len(hosts) > 1 || len(hosts) == 1 && !strings.EqualFold(hosts[0], r.Host) {
		return errTwoHosts
	}
	if lengths := r.Header["Content-Length"]; len(lengths) > 0 {
		if n, ok := parseLength(lengths[0]); !ok || len(lengths) > 1 || n != r.ContentLength {
			return errLength
		}
	}
	return nil
}

// UnambiguousResponse is Unambiguous for a final response: net/http's HTTP/2 reads any number as a status, and any
// Content-Length that it does not understand as none.
func UnambiguousResponse(r *http.Response) error {
	code, _, _ := strings.Cut(r.Status, " ")
	if len(code) != 3 || !digit(code[0]) || r.StatusCode < 200 {
		return errStatus
	}
	if lengths := r.Header["Content-Length"]; len(lengths) > 0 {
		if _, ok := parseLength(lengths[0]); !ok || len(lengths) > 1 {
			return errLength
		}
	}
	return nil
}
