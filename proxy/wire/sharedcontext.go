package wire

import "context"

// SharedContext is the context of a request whose answer other requests may
// want besides the client for which it is made. A transport that watches that
// client itself calls Abandoned when the client has left. It never calls Done,
// which would cost a timer for each request.
type SharedContext interface {
	context.Context
	// Client returns the context of the client's own request.
	Client() context.Context
	// Abandoned reports whether no other request wants the answer. Any
	// goroutine may call it.
	Abandoned() bool
}
