package h1

import (
	"crypto/tls"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// Transport sends requests to one endpoint over HTTP/1.1 and keeps its idle
// connections. Safe for concurrent use.
type Transport struct {
	Address  string // host:port to dial
	Fallback string // dialled when Address refuses; "" for none
	// TLS returns the settings of TLS for one dial. It is called at each dial,
	// so that certificates can change. If TLS is nil, connections are clear
	// text.
	TLS            func() *tls.Config
	ConnectTimeout time.Duration // dial and TLS together; 0 is 3 s
	// The longest idle time of pooled connections. 0 is 4 s for clear text and
	// 90 s for TLS. A shorter time in the backend's Keep-Alive wins.
	IdleTimeout time.Duration
	// The longest time without a byte of a response body of known length, or
	// without progress of a write. 0 is no limit.
	StallTimeout   time.Duration
	MaxHeaderBytes int            // of a response head; 0 is 64 KiB
	Budget         *socket.Budget // for the memory of connections; nil is no bound

	// Control is called before each connection is made, as in net.Dialer. nil
	// allows all.
	Control func(network, address string, _ syscall.RawConn) error

	mu         sync.Mutex
	idle       []*link // the last one in is the first one out
	generation int     // CloseIdle starts a new generation of connections
	sweeper    *time.Timer
	sweeping   bool
	buffers    sync.Pool
	// When a request was last sent on a dead connection, in Unix nanoseconds.
	failed atomic.Int64
	// of how many requests on one connection the backend is known to keep it
	proven atomic.Int64
}

// MovesBody reports true. A request body is moved without a copy if possible,
// it is untouched after an error with NotSent, and it tells whether it was
// touched after one with Undelivered.
func (t *Transport) MovesBody() bool { return true }

// Send makes one transaction and never repeats it; it only takes another
// connection when a pooled one turned out to be dead before any byte of the
// request was on its way, or before any byte arrived (delivery.go). The error
// is an *Error. The response is valid until its Body is closed, and so are its
// header map and every string in it.
//
// The request's ContentLength says whether there is a body: 0 is none, as in a
// server's request. A body is read only while Send or the response lasts, and
// closed only to end a read in progress. Where a Body has a method Len() int
// that returns all of ContentLength, it is in memory and goes out together with
// the head.
func (t *Transport) Send(r *http.Request, c *wire.Call) (*http.Response, error) {
	c.Reused, c.Written, c.FirstByte = false, time.Time{}, time.Time{}
	for tries, pooled, dial := 0, 0, false; ; tries++ {
		l, err := t.take(r, c, dial || tries > pooled)
		if err != nil {
			return nil, err
		}

		resp, err := l.send(r, c)
		if err == nil {
			return resp, nil
		}

		e := err.(*wire.Error)
		nothing := e.Outcome == wire.NotSent && e.Phase == wire.Write ||
			e.Outcome == wire.Undelivered
		if !nothing || !l.reused || !l.repeat(c) {
			return nil, err
		}

		c.Written = time.Time{}
		dial = e.Outcome == wire.Undelivered
		if tries == 0 {
			// More attempts would use connections that other requests have put
			// back meanwhile.
			pooled = t.Idle()
		}
	}
}

// RoundTrip is Send with an empty Call. As http.RoundTripper demands,
// ContentLength 0 with a Body is an unknown length, and the body is always
// closed.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := r
	if r.ContentLength == 0 && r.Body != nil && r.Body != http.NoBody {
		copied := *r
		copied.ContentLength = -1
		sent = &copied
	}

	resp, err := t.Send(sent, &wire.Call{Trailers: wire.TrailerNames(r.Trailer)})
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
