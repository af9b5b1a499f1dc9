package wire

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

// Unambiguous returns nil if a request that another HTTP implementation has
// parsed may be forwarded, or else the reason why not. Methods, targets,
// authorities and lengths are checked, because they would reach HTTP/2 backends
// as they came (RFC 9113 sections 8.2.1, 8.3.1 and 8.1.1).
func Unambiguous(r *http.Request) error {
	target := r.RequestURI
	switch {
	case !IsToken(r.Method):
		return ErrMethod
	case !strings.HasPrefix(target, "/") && (target != "*" || r.Method != http.MethodOptions):
		return ErrTarget
	case !Every(target, InTarget) || !ValidEscapes(target):
		return ErrTarget
	case !ValidHost(r.Host):
		return ErrHost
	}

	if hosts := r.Header["Host"]; len(hosts) > 1 ||
		len(hosts) == 1 && !strings.EqualFold(hosts[0], r.Host) {
		return errTwoHosts
	}

	if lengths := r.Header["Content-Length"]; len(lengths) > 0 {
		if n, ok := ParseLength(lengths[0]); !ok || len(lengths) > 1 || n != r.ContentLength {
			return errLength
		}
	}

	return nil
}

// UnambiguousResponse is Unambiguous for a final response: its status has three
// digits (RFC 9110 section 15), and it has at most one Content-Length, a valid
// one (RFC 9110 section 8.6).
func UnambiguousResponse(r *http.Response) error {
	code, _, _ := strings.Cut(r.Status, " ")
	if len(code) != 3 || code[0] < '0' || code[0] > '9' || r.StatusCode < 200 {
		return errStatus
	}

	if lengths := r.Header["Content-Length"]; len(lengths) > 0 {
		if _, ok := ParseLength(lengths[0]); !ok || len(lengths) > 1 {
			return errLength
		}
	}

	return nil
}

var (
	ErrMethod = errors.New("method that cannot be sent")
	ErrTarget = errors.New("target that cannot be sent")
	ErrHost   = errors.New("host that cannot be sent")
)
