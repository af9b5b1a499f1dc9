package proxy

import (
	"maps"
	"net/http"
	"strconv"
	"strings"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// fail answers with an error of Pillion itself. The client gets a status and a
// request id, but not the cause. A gRPC client gets a gRPC status.
func (x *exchange) fail(end ending, cause error) {
	x.record.Status = end.status
	x.record.Ended = end.who + "/" + end.phase
	if cause != nil {
		x.record.Detail = cause.Error()
	}

	if end.status == statusClientGone || x.started {
		return
	}

	h := x.w.Header()
	clear(h)
	h["X-Request-Id"] = []string{x.errorID()}
	x.started = true
	if x.grpc {
		x.failGRPC(h, end.status)
		return
	}

	text, kind, ok := x.route.errors.Content(end.status)
	if !ok {
		text, kind = wire.ErrorText(end.status, x.record.RequestID), "text/plain; charset=utf-8"
	}
	h["Content-Type"] = []string{kind}
	h["Content-Length"] = []string{strconv.Itoa(len(text))}
	x.sayError(h, end.status)
	x.changeAnswer(h, h)
	x.w.WriteHeader(end.status)
	if x.r.Method != http.MethodHead {
		n, _ := x.w.Write([]byte(text))
		x.record.BytesOut = int64(n)
	}
}

// sayError sets the fields that errors have beside their body.
func (x *exchange) sayError(h http.Header, status int) {
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["Cache-Control"] = []string{"no-store"}
	switch status {
	case http.StatusServiceUnavailable:
		h["Retry-After"] = []string{"1"}
	case http.StatusMethodNotAllowed:
		h["Allow"] = []string{"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"}
	}
	maps.Copy(h, x.refusal)

	if x.service == nil {
		return
	}
	if c := x.service.DeleteCookie(&x.claim, x.hop.Secure); c != "" {
		h["Set-Cookie"] = []string{c}
		if x.carries {
			h["Set-Cookie"] = append(h["Set-Cookie"], x.service.DeleteCarrier(x.hop.Secure))
		}
	}
}

// failGRPC answers as gRPC over HTTP/2 requires: status 200, and the error in
// grpc-status. The codes follow gRPC's document "HTTP to gRPC Status Code
// Mapping", except for 429, because a limit that is reached is not a failure of
// the service.
func (x *exchange) failGRPC(h http.Header, status int) {
	code := "2" // UNKNOWN
	switch status {
	case http.StatusBadRequest, http.StatusRequestHeaderFieldsTooLarge:
		code = "13" // INTERNAL
	case http.StatusUnauthorized:
		code = "16" // UNAUTHENTICATED
	case http.StatusForbidden:
		code = "7" // PERMISSION_DENIED
	case http.StatusRequestEntityTooLarge, http.StatusTooManyRequests:
		code = "8" // RESOURCE_EXHAUSTED
	case http.StatusMethodNotAllowed, http.StatusNotFound:
		code = "12" // UNIMPLEMENTED
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		code = "14" // UNAVAILABLE
	case http.StatusGatewayTimeout, http.StatusRequestTimeout:
		code = "4" // DEADLINE_EXCEEDED
	}

	x.record.GRPC = code
	h["Content-Type"] = []string{"application/grpc"}
	asked := first(x.r.Header, "Content-Type")
	if strings.HasPrefix(asked, "application/grpc-web") {
		h["Content-Type"] = []string{asked}
	}

	h["Grpc-Status"] = []string{code}
	h["Grpc-Message"] = []string{"request id: " + x.record.RequestID}
	x.changeAnswer(h, h)
	x.w.WriteHeader(http.StatusOK)
}

// errorID returns the id of the request, and makes one if it has none.
func (x *exchange) errorID() string {
	if x.record.RequestID == "" {
		x.record.RequestID = wire.RandomID()
	}
	return x.record.RequestID
}
