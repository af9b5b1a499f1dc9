package proxy

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
)

// fail answers with an error of our own: its status, the request's id, and nothing of what happened inside. A gRPC
// client gets a gRPC status. It returns true, "answered", for its callers to pass on.
func (x *exchange) fail(end ending, cause error) bool {
	x.record.Status = end.status
	x.record.Ended = end.who + "/" + end.phase
	if cause != nil {
		x.record.Detail = cause.Error()
	}
	if end.status == statusClientGone || x.started {
		return true
	}
	h := x.header()
	clear(h)
	h["X-Request-Id"] = []string{x.errorID()}
	x.started = true
	if x.grpc {
		x.failGRPC(h, end.status)
		return true
	}
	text := strconv.Itoa(end.status) + " " + http.StatusText(end.status) + "\nrequest id: " + x.record.RequestID + "\n"
	h["Content-Type"] = []string{"text/plain; charset=utf-8"}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["Cache-Control"] = []string{"no-store"}
	h["Content-Length"] = []string{strconv.Itoa(len(text))}
	if end.status == http.StatusServiceUnavailable {
		h["Retry-After"] = []string{"1"}
	}
	if end.status == http.StatusMethodNotAllowed {
		h["Allow"] = []string{"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"}
	}
	if c := x.lostSession(); c != "" {
		h["Set-Cookie"] = []string{c}
	}
	x.w.WriteHeader(end.status)
	if x.r.Method != http.MethodHead {
		n, _ := x.w.Write([]byte(text))
		x.record.BytesOut = int64(n)
	}
	return true
}

// failGRPC answers as gRPC over HTTP/2 wants it: status 200, the error in grpc-status, by the mapping of the protocol's
// document "HTTP to gRPC Status Code Mapping".
func (x *exchange) failGRPC(h http.Header, status int) {
	code := "2" // UNKNOWN
	switch status {
	case http.StatusBadRequest, http.StatusRequestHeaderFieldsTooLarge:
		code = "13" // INTERNAL
	case http.StatusRequestEntityTooLarge:
		code = "8" // RESOURCE_EXHAUSTED
	case http.StatusMethodNotAllowed:
		code = "12" // UNIMPLEMENTED
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		code = "14" // UNAVAILABLE
	case http.StatusGatewayTimeout, http.StatusRequestTimeout:
		code = "4" // DEADLINE_EXCEEDED
	}
	x.record.GRPC = code
	h["Content-Type"] = []string{"application/grpc"}
	if asked := first(x.r.Header, "Content-Type"); strings.HasPrefix(asked, "application/grpc-web") {
		h["Content-Type"] = []string{asked}
	}
	h["Grpc-Status"] = []string{code}
	h["Grpc-Message"] = []string{"request id: " + x.record.RequestID}
	x.w.WriteHeader(http.StatusOK)
}

// errorID is the id of a request that failed, made now if it has none.
func (x *exchange) errorID() string {
	if x.record.RequestID == "" {
		x.record.RequestID = randomID()
	}
	return x.record.RequestID
}

// randomID is 128 random bits in hexadecimal.
func randomID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
