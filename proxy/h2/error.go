package h2

import (
	"context"
	"crypto/tls"
	"errors"
	"os"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// connError is a connection error (RFC 9113 section 5.4.1): the peer is told by
// GOAWAY, and the connection ends.
type connError struct {
	code errorCode
	why  string
}

// Error is for the log.
func (e connError) Error() string { return "h2: " + e.code.String() + ": " + e.why }

// resetError is a stream that ended by RST_STREAM.
type resetError struct {
	code errorCode
	ours bool // sent by this side, because the peer broke the protocol
}

// Error is for the log.
func (e resetError) Error() string {
	if e.ours {
		return "stream reset for a fault of the peer: " + e.code.String()
	}
	return "stream reset by the peer: " + e.code.String()
}

// lostError is the end of a connection, as its streams see it.
type lostError struct{ cause error }

// Error is for the log.
func (e *lostError) Error() string { return "connection lost: " + e.cause.Error() }

// Unwrap returns the cause.
func (e *lostError) Unwrap() error { return e.cause }

var (
	errClosed      = errors.New("connection closed")
	errUseless     = errors.New("new connections allow no stream")
	errGoAway      = errors.New("stream excluded by GOAWAY")
	errTimeout     = os.ErrDeadlineExceeded
	errHead        = errors.New("request head larger than the backend's settings allow")
	errStreamEnded = errors.New("stream has ended")
)

// IsReset reports whether a request failed because its stream was reset. The
// connection, and other streams on it, may continue.
func IsReset(err error) bool {
	_, ok := errors.AsType[resetError](err)
	return ok
}

// dialError converts a dialling error to a *wire.Error.
func dialError(err error, client context.Context) *wire.Error {
	e := &wire.Error{Outcome: wire.NotSent, Phase: wire.Connect, Err: err}
	if timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); ok {
		e.Timeout = timeout.Timeout()
	}
	if errors.Is(err, errTimeout) || errors.Is(err, context.DeadlineExceeded) {
		e.Timeout = true
	} else if client.Err() != nil {
		e.Client = wire.Gone
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		e.Timeout = false
	}
	return e
}
