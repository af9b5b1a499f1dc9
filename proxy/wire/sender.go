package wire

import "net/http"

// Sender sends a request and returns the head of the answer. An error is an
// *Error.
//
// The caller closes the response's body. The request is read-only, because
// several attempts may share it; what differs between attempts is in the Call.
// A Sender may be used by several goroutines at once, a Call by one Send at a
// time.
type Sender interface {
	Send(r *http.Request, c *Call) (*http.Response, error)
}
