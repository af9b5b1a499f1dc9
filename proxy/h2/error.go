package h2

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"

	"github.com/pillion-lb/pillion/proxy/h1"
)

// connectError types an error of dialling.
func (x *exchange) connectError(err error, client context.Context) *h1.Error {
	e := &h1.Error{Outcome: h1.NotSent, Phase: h1.Connect, Err: err}
	if timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); ok {
		e.Timeout = timeout.Timeout()
	}
	if errors.Is(err, errTimeout) || errors.Is(err, context.DeadlineExceeded) {
		e.Timeout = true
	} else if client.Err() != nil {
		e.Client = h1.Gone
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		e.Timeout = false
	}
	return e
}

// streamError has the shape of the error that net/http returns for a reset stream, which it converts on request.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

// Error is there to be an error; the fields say what happened.
func (e streamError) Error() string { return "stream reset" }

// IsReset reports whether an exchange failed because the backend reset its stream. Its connection, and others on it, may
// live on.
func IsReset(err error) bool {
	var reset streamError
	return errors.As(err, &reset)
}

// refusedStream is the code of a stream that was not processed (RFC 9113 section 8.7).
const refusedStream = 7

// error types an error of RoundTrip or of a body.
func (x *exchange) error(err error, client context.Context) *h1.Error {
	if e := x.bodyErr.Load(); e != nil {
		return &h1.Error{Outcome: h1.NoAnswer, Phase: h1.Write, Client: e.Client, Err: e.Err}
	}
	e := &h1.Error{Outcome: h1.NoAnswer, Phase: h1.Head, Err: err}
	if x.written.Load() == 0 {
		e.Phase = h1.Write
	}
	switch {
	case x.begun.Load():
		e.Outcome = h1.Broken
	case !x.sent.Load():
		e.Outcome = h1.NotSent // net/http, or the backend's settings, would not have it
	}
	var reset streamError
	switch {
	case x.cause() == errTimeout:
		e.Timeout = true
	case client.Err() != nil:
		e.Client = h1.Gone
	case errors.As(err, &reset) && reset.Code == refusedStream, goneAway(err):
		e.Outcome = h1.NotProcessed
	}
	return e
}

// goneAway recognises net/http's error for a request that a GOAWAY excluded, or that found its connection closing. It
// has no exported type, so its text decides; a test pins the text.
func goneAway(err error) bool {
	text := err.Error()
	return strings.Contains(text, "http2: Transport received Server's graceful shutdown GOAWAY") ||
		strings.Contains(text, "http2: client conn not usable")
}
