package wire

import "errors"

// Outcome is how far a failed attempt came. It decides whether the request may
// be repeated.
type Outcome uint8

// In order, from "nothing was sent" to "the client may have half of the
// answer".
const (
	// NotSent: no byte of the request was sent.
	NotSent Outcome = iota + 1
	// Undelivered: bytes were sent, and TCP proves that the backend's side had
	// ended before any of them arrived. The body may have been read in part.
	Undelivered
	// NotProcessed: bytes were sent, and the backend said that it did not act
	// on them (REFUSED_STREAM, GOAWAY).
	NotProcessed
	// NoAnswer: the request was sent at least in part, and no byte of a
	// response came.
	NoAnswer
	// Broken: a response began and was malformed or cut.
	Broken
)

// Phase is where in the attempt it failed.
type Phase uint8

// The phases in order.
const (
	Connect Phase = iota + 1 // dialling, TLS included
	Write                    // sending the request
	Head                     // waiting for the response head
	Body                     // relaying the response body
)

// Error is the type of every error of Send and of a response body's Read. Act
// on its fields, never on its text.
type Error struct {
	Outcome Outcome
	Phase   Phase
	Timeout bool  // a time limit of Pillion ended it
	Client  Fault // what the client did, if the client ended it
	Err     error
}

// Fault is what a client did to end an attempt.
type Fault uint8

// NoFault: it was not the client.
const (
	NoFault Fault = iota
	// Gone: the client closed or reset its connection or stream.
	Gone
	// BadBody: the client's request body was malformed or cut short.
	BadBody
	// Stalled: the client sent no body byte for the stall timeout.
	Stalled
	// TooLarge: the client's body is over the limit.
	TooLarge
)

// Error returns the phase and the cause, for the log.
func (e *Error) Error() string { return e.Phase.String() + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// String returns the phase as logs and spans name it.
func (p Phase) String() string {
	switch p {
	case Connect:
		return "connect"
	case Write:
		return "write"
	case Head:
		return "head"
	case Body:
		return "body"
	}

	return "unknown"
}

// AsError returns the *Error in a Sender's error. Any other error says nothing
// about what happened, so it counts as the worst kind: an answer began, and it
// is broken.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}

	return &Error{Outcome: Broken, Phase: Head, Err: err}
}
