package wire

import (
	"context"
	"io"
	"net/http"
	"time"
)

// Field is one header field that an attempt adds to the request.
type Field struct{ Name, Value string }

// Call is what one attempt adds to a request. The request itself is shared by
// all attempts and read-only. The fields of the Call are merged into it while
// the request is written. The zero value sends the request as it is. A Call is
// used by one Send at a time, and may be reused after the response body was
// closed.
type Call struct {
	// Context replaces the request's context when it is not nil. A copy of the
	// request with another context would cost an allocation.
	Context context.Context
	// Host replaces the request's Host when it is not empty.
	Host string
	// Target replaces the request's target when it is not empty. It is a path
	// with or without a query, as in a request line.
	Target string
	// Fields replace the request's fields with the same canonical names. A
	// field with an empty Value is removed. Framing, Host, Connection and
	// Upgrade are never taken from here.
	Fields []Field
	// Settled are names of further fields that the request has as Pillion wants
	// them, or must not have. No trailer may have one of them.
	Settled []string
	// Body replaces the request's body. Its length is still the request's
	// ContentLength.
	Body io.ReadCloser
	// Trailers are the names of the trailers to announce, as TrailerNames
	// returns them. A Sender announces these and doesn't look at
	// Request.Trailer before the end of the body: see "Ownership" in the
	// package's documentation.
	Trailers []string
	// Upgrade sends "Connection: Upgrade" and "Upgrade: websocket". The body of
	// a 101 is then an io.ReadWriteCloser. Without Upgrade, a 101 is a broken
	// answer.
	Upgrade bool
	// ResponseTimeout is the time from the last request byte to the response
	// head; 0 is no limit.
	ResponseTimeout time.Duration
	// Deadline ends the whole attempt; zero is none.
	Deadline time.Time
	// Began is a recent reading of the clock, or zero. With it, Send needs only
	// the monotonic clock, which costs half as much.
	Began time.Time
	// Informational is called for each 1xx except 101. The fields are valid
	// only during the call. nil drops the 1xx.
	Informational func(code int, header http.Header)

	// Send writes the fields below.

	// Reused reports that the request was sent on a pooled connection.
	Reused bool
	// Written is when the last request byte was handed to the kernel, or zero.
	Written time.Time
	// FirstByte is when the first byte of the response arrived, or zero.
	FirstByte time.Time
	// Coded tells whether Pillion may have compressed the response.
	Coded Coded
	// Uncoded reports that the response would have been compressed, and could
	// not be at this moment. Another one to the same request may be.
	Uncoded bool
}

// ContextOf returns the context of a request that is sent with the Call.
func (c *Call) ContextOf(r *http.Request) context.Context {
	if c.Context != nil {
		return c.Context
	}

	return r.Context()
}

// Coded tells whether a response depends on the coding that Pillion chooses for
// the client.
type Coded uint8

const (
	NotCoded  Coded = iota // it does not
	CodedToo               // it does, and the service chooses by the client's codings too
	CodedHere              // it does, and the service does not choose
)
