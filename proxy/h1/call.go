package h1

import (
	"net/http"
	"time"
)

// Field is one header field of an overlay.
type Field struct{ Name, Value string }

// Call is one attempt's own part of an exchange. The request itself is read-only for all attempts and shared by them;
// what differs from attempt to attempt is said here and merged while the request is serialised. The zero value sends
// the request as it is. A Call belongs to one Send at a time and may be reused after the response body was closed.
type Call struct {
	// Host replaces the request's Host when it is not empty.
	Host string
	// Fields replace the request's fields of the same canonical names; a field with an empty Value only removes.
	// Framing, Host, Connection and Upgrade are never taken from here.
	Fields []Field
	// Body replaces the request's body, whose length stays the request's ContentLength.
	Body interface {
		Read([]byte) (int, error)
		Close() error
	}
	// Upgrade sends "Connection: Upgrade" and "Upgrade: websocket"; a 101 that answers it has a Body that is an
	// io.ReadWriteCloser. Without it a 101 is a broken answer.
	Upgrade bool
	// ResponseTimeout is from the last request byte to the response head; 0 is none.
	ResponseTimeout time.Duration
	// Deadline ends the whole exchange; zero is none.
	Deadline time.Time
	// Began is any earlier reading of the clock, from which Send reckons what time it is: that costs half as much as
	// reading anew. Zero has Send read it.
	Began time.Time
	// Informational is called for each 1xx but 101, with fields that are valid only during the call. nil drops them.
	Informational func(code int, header http.Header)

	// What follows is written by Send.

	// Reused says that the request went out on a pooled connection.
	Reused bool
	// Written is when the last request byte was handed to the kernel; zero while it was not.
	Written time.Time
	// FirstByte is when the response's first byte was there; zero while it was not.
	FirstByte time.Time
}
