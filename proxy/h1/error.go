package h1

// Outcome says how far a failed exchange came: all that decides whether it may be repeated.
type Outcome uint8

// From "nothing happened" to "the client has half of it".
const (
	// NotSent: no byte of the request left us.
	NotSent Outcome = iota + 1
	// NotProcessed: bytes were sent, and the backend said that it did not act on them (REFUSED_STREAM, GOAWAY).
	NotProcessed
	// NoAnswer: the request was sent at least in part, and no byte of a response came.
	NoAnswer
	// Broken: a response began and was malformed or cut.
	Broken
)

// Phase is where in the exchange it failed.
type Phase uint8

// The phases in their order.
const (
	Connect Phase = iota + 1 // dialling, TLS included
	Write                    // sending the request
	Head                     // waiting for the response head
	Body                     // relaying the response body
)

// Error is every error of Send and of a response body's Read. Act on its fields, never on its text.
type Error struct {
	Outcome Outcome
	Phase   Phase
	Timeout bool  // a time limit of ours ended it
	Client  Fault // what the client did, if it was the client who ended it
	Err     error
}

// Fault says what a client did to end an exchange.
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

// Error is the phase and the cause, for the log.
func (e *Error) Error() string { return e.Phase.String() + ": " + e.Err.Error() }

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// String is the phase as logs and spans name it.
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
