package h1

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
)

// One side may speak TLS where the other does not. What then arrives is no
// HTTP, and what a parser says of it helps nobody. So the first bytes are
// looked at.

// startsTLS reports whether bytes are the beginning of a TLS record: of a
// handshake, or of an alert (RFC 8446 section 5.1).
func startsTLS(b []byte) bool {
	return len(b) > 1 && (b[0] == 22 || b[0] == 21) && b[1] == 3
}

// speaksTLS is the refusal of a client that speaks TLS to a listener that does
// not.
var speaksTLS = &refusal{http.StatusBadRequest,
	"the client speaks TLS, this port does not: use http://, or set LB_TLS_CERT_FILE and " +
		"LB_TLS_KEY_FILE"}

// errInTLS is the answer of a backend in TLS to a request in clear.
var errInTLS = errors.New("the backend answers in TLS: write https:// in its target")

// silentEnd is the end of a new connection on which the backend said nothing.
type silentEnd struct{}

// Error says what the reason is most of the time.
func (silentEnd) Error() string {
	return "the backend closed the connection without an answer (does it want https://?)"
}

// Unwrap makes it an unexpected EOF.
func (silentEnd) Unwrap() error { return io.ErrUnexpectedEOF }

// refuseClear answers a client that speaks HTTP in clear to a listener with
// TLS, and reports it.
func (c *conn) refuseClear(err error) {
	record, ok := errors.AsType[tls.RecordHeaderError](err)
	if !ok || record.Conn == nil || !startsHTTP(string(record.RecordHeader[:])) {
		return
	}

	const text = "this port speaks TLS: use https://\n"
	_, _ = io.WriteString(record.Conn, "HTTP/1.0 400 Bad Request\r\nConnection: close\r\n"+
		"Content-Type: text/plain; charset=utf-8\r\n\r\n"+text)
	c.report(http.StatusBadRequest, "",
		"the client speaks HTTP in clear, this port speaks TLS: use https://")
}

// startsHTTP reports whether five bytes are the beginning of a request.
func startsHTTP(head string) bool {
	for _, method := range []string{
		"GET ", "HEAD ", "POST ", "PUT ", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "PRI ",
	} {
		if strings.HasPrefix(head, method[:min(len(method), len(head))]) {
			return true
		}
	}

	return false
}
