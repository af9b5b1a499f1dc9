package h2

import (
	"context"
	"crypto/tls"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// Transport sends requests to one endpoint over HTTP/2, cleartext with prior
// knowledge or TLS with ALPN. Requests share connections. A new one is opened
// when the open ones allow no more streams. No request is sent twice. Safe for
// concurrent use. Set the fields before the first Send, and don't change them
// later.
type Transport struct {
	Address        string             // host:port to dial
	Fallback       string             // dialled when Address refuses; "" for none
	TLS            func() *tls.Config // called at each dial; nil is clear text
	ConnectTimeout time.Duration      // dial and TLS together; 0 is 3 s
	IdleTimeout    time.Duration      // of connections without streams; 0 is 90 s
	StallTimeout   time.Duration      // without progress of a promised body; 0 is none
	MaxHeaderBytes int                // of a response head; 0 is 64 KiB
	Budget         *socket.Budget     // nil: no bound

	// Control is called before each connection is made, as in net.Dialer. nil
	// allows all.
	Control func(network, address string, _ syscall.RawConn) error

	calls sync.Pool

	mu      sync.Mutex
	conns   []*conn
	dialing *dial
}

// MovesBody reports false. A request body is copied, because it is cut into
// frames.
func (t *Transport) MovesBody() bool { return false }

// Idle returns the number of open connections.
func (t *Transport) Idle() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.conns)
}

// CloseIdle closes the connections without streams at once, and the others when
// their last stream ends.
func (t *Transport) CloseIdle() {
	t.mu.Lock()
	conns := t.conns
	t.conns = nil
	t.mu.Unlock()

	for _, c := range conns {
		c.mu.Lock()
		c.received, c.closing = true, true
		c.rest()
		c.mu.Unlock()
	}
}

// RoundTrip is Send with an empty Call, for http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.Send(r, &wire.Call{Trailers: wire.TrailerNames(r.Trailer)})
}

// silence is the idle time after which a PING has to be answered before a
// connection gets a request.
const (
	silence     = 15 * time.Second
	silenceTime = time.Second
)

// mostUseless is how many new connections in a row may turn out to allow no
// stream.
const mostUseless = 3

// reserve returns a connection with a stream reserved on it.
func (t *Transport) reserve(ctx context.Context, now time.Time) (c *conn, reused bool, err error) {
	for useless := 0; useless < mostUseless; {
		c, pong := t.take(now)
		switch {
		case c != nil && (pong == nil || c.lives(pong)):
			return c, true, nil
		case c != nil:
			c.shut(errNoPong)
			continue
		}
		d := t.dial(ctx)
		select {
		case <-d.done:
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		}
		if d.err != nil {
			return nil, false, d.err
		}
		if ok, _ := d.conn.reserve(time.Now()); ok {
			return d.conn, false, nil
		}
		if !d.conn.isUsable() {
			useless++
		}
	}
	return nil, false, errUseless
}

// take reserves a stream on an open connection, and drops connections that are
// closed or closing.
func (t *Transport) take(now time.Time) (found *conn, pong <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, c := range t.conns {
		if ok, pong := c.reserve(now); ok {
			if i > 0 { // the next request tries it first
				t.conns[0], t.conns[i] = t.conns[i], t.conns[0]
			}
			return c, pong
		}
	}

	open := t.conns[:0]
	for _, c := range t.conns {
		if c.isUsable() {
			open = append(open, c)
		}
	}
	clear(t.conns[len(open):])
	t.conns = open
	return nil, nil
}

// isUsable reports whether the connection may allow a stream later. One without
// streams, on which the backend allows none, is closed: each request would find
// it useless and open another.
func (c *conn) isUsable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == 0 && c.peer.streams == 0 {
		c.received, c.closing = true, true
		c.rest()
	}
	return !c.ended && !c.received
}

// lastStreams is the distance from the largest stream number at which a
// connection opens no more streams.
const lastStreams = 1 << 11

// reserve takes one of the streams that the backend allows. If pong is not nil,
// the caller has to wait for it first.
func (c *conn) reserve(now time.Time) (ok bool, pong <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.received || c.open >= c.peer.streams || c.lastID > largestValue-lastStreams {
		return false, nil
	}
	if c.open == 0 && now.Sub(c.heard) > silence && c.asked.IsZero() {
		c.askPing(now)
		c.arm(now.Add(pingTimeout))
		c.pong = make(chan struct{})
		c.kick()
	}
	c.open++
	return true, c.pong
}

// unreserve gives a reserved stream back.
func (c *conn) unreserve() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	c.rest()
}

// lives waits for the answer to a PING and reports whether it came in time.
func (c *conn) lives(pong <-chan struct{}) bool {
	t := time.NewTimer(silenceTime)
	defer t.Stop()
	select {
	case <-pong:
		return true
	case <-t.C:
		return false
	}
}
