package h1

import (
	"crypto/tls"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Transport sends requests to one endpoint over HTTP/1.1 and keeps its idle connections. Safe for concurrent use.
type Transport struct {
	Address        string             // host:port to dial
	Fallback       string             // dialled when Address refuses; "" for none
	TLS            func() *tls.Config // asked at every dial, so that certificates can change; nil is clear text
	ConnectTimeout time.Duration      // dial and TLS together; 0 is 3 s
	IdleTimeout    time.Duration      // of pooled connections; 0 is 4 s clear text and 90 s TLS, less when Keep-Alive says so
	StallTimeout   time.Duration      // no byte of a response body of known length, or no progress of a write; 0 is none
	MaxHeaderBytes int                // of a response head; 0 is 64 KiB

	// Control is asked before each connection, as a net.Dialer's; nil permits all.
	Control func(network, address string, _ syscall.RawConn) error

	mu         sync.Mutex
	idle       []*link // the last one in is the first one out
	generation int     // of connections: CloseIdle begins a new one
	sweeper    *time.Timer
	sweeping   bool
	buffers    sync.Pool
	copies     atomic.Bool  // the kernel cannot splice
	failed     atomic.Int64 // when a request last went out on a dead connection, in Unix nanoseconds
}

// Send makes one exchange and never repeats it; it only takes another connection when a pooled one turned out to be dead
// before any byte of the request was on its way. The error is an *Error. The response is valid until its Body is
// closed, and so are its header map and every string in it.
//
// The request's ContentLength says whether there is a body: 0 is none, as in a server's request. A body is read only
// while Send or the response lasts, and closed only to end a read in progress. Where a Body has a method Len() int that
// returns all of ContentLength, it is in memory and goes out together with the head.
func (t *Transport) Send(r *http.Request, c *Call) (*http.Response, error) {
	c.Reused, c.Written, c.FirstByte = false, time.Time{}, time.Time{}
	for tries, pooled := 0, 0; ; tries++ {
		l, err := t.take(r, c, tries > pooled)
		if err != nil {
			return nil, err
		}
		resp, err := l.exchange(r, c)
		if err == nil {
			return resp, nil
		}
		if e := err.(*Error); e.Outcome != NotSent || e.Phase != Write || !l.reused || l.unsendable {
			return nil, err
		}
		if tries == 0 {
			pooled = t.Idle() // more tries than that would be on connections that others put back meanwhile
		}
	}
}

// RoundTrip is Send with an empty Call: the contract of http.RoundTripper, where ContentLength 0 with a Body is a length
// that nobody knows, and the body is always closed.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := r
	if r.ContentLength == 0 && r.Body != nil && r.Body != http.NoBody {
		copied := *r
		copied.ContentLength = -1
		sent = &copied
	}
	resp, err := t.Send(sent, new(Call))
	if err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	resp.Request = r
	if b, ok := resp.Body.(*content); ok && r.Body != nil {
		b.sent = r.Body
	}
	return resp, nil
}

func (t *Transport) headLimit() int {
	if t.MaxHeaderBytes > 0 {
		return t.MaxHeaderBytes
	}
	return 64 << 10
}
