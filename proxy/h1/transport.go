package h1

import (
	"crypto/tls"
	"errors"
	"net/http"
	"time"
)

// Transport sends requests to one endpoint over HTTP/1.1 and keeps its idle connections. Safe for concurrent use.
type Transport struct {
	Address        string             // host:port to dial
	Fallback       string             // dialled when Address refuses; "" for none
	TLS            func() *tls.Config // asked at every dial, so that certificates can change; nil is clear text
	ConnectTimeout time.Duration      // dial and TLS together; 0 is 3 s
	IdleTimeout    time.Duration      // of pooled connections; 0 is 4 s clear text and 90 s TLS, less when Keep-Alive says so
	StallTimeout   time.Duration      // no byte of a response body of known length; 0 is none
	MaxHeaderBytes int                // of a response head; 0 is 64 KiB
}

// Send makes one exchange and never repeats it. The error is an *Error. The response is valid until its Body is
// closed, and so are its header map and every string in it.
func (t *Transport) Send(r *http.Request, c *Call) (*http.Response, error) {
	return nil, errors.New("not built")
}

// RoundTrip is Send with an empty Call: the contract of http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) { return t.Send(r, new(Call)) }

// Idle is the number of pooled connections.
func (t *Transport) Idle() int { return 0 }

// CloseIdle closes the pooled connections. Exchanges in progress go on, and their connections are closed when they end.
func (t *Transport) CloseIdle() {}
