// Package h2 speaks HTTP/2 to one endpoint by net/http's implementation, behind the same Call and Error as package h1.
// It uses client connections that it opened itself, because net/http's pool sends requests again on its own.
package h2

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/pillion-lb/pillion/proxy/h1"
)

// Transport sends requests to one endpoint over HTTP/2, cleartext with prior knowledge or TLS with ALPN. Requests share
// connections; a further one is opened when those there are have no stream left. Safe for concurrent use.
type Transport struct {
	Address        string             // host:port to dial
	Fallback       string             // dialled when Address refuses; "" for none
	TLS            func() *tls.Config // asked at every dial; nil is clear text
	ConnectTimeout time.Duration      // dial and TLS together; 0 is 3 s
	IdleTimeout    time.Duration      // of connections without streams; 0 is 90 s
	StallTimeout   time.Duration      // no byte of a response body of known length, or no progress of an upload; 0 is none
	MaxHeaderBytes int                // of a response head; 0 is 64 KiB

	// Control is asked before each connection, as a net.Dialer's; nil permits all.
	Control func(network, address string, _ syscall.RawConn) error

	mu      sync.Mutex
	conns   []*http.ClientConn
	dialing *dial
}

// dial is a connection being opened; those who wait for it share its outcome.
type dial struct {
	done chan struct{}
	conn *http.ClientConn
	err  error
}

// pings find a dead connection that no stream would notice: one that was silent this long is asked, and closed when the
// answer takes longer.
const (
	pingAfter   = 15 * time.Second
	pingTimeout = 5 * time.Second
)

// reserve returns a connection with a stream reserved on it.
func (t *Transport) reserve(ctx context.Context) (c *http.ClientConn, reused bool, err error) {
	for {
		t.mu.Lock()
		if c := t.take(); c != nil {
			t.mu.Unlock()
			return c, true, nil
		}
		d := t.dialing
		if d == nil {
			d = &dial{done: make(chan struct{})}
			t.dialing = d
			go t.open(d) // ends within the connect timeout
		}
		t.mu.Unlock()
		select {
		case <-d.done:
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		}
		if d.err != nil {
			return nil, false, d.err
		}
		if d.conn.Reserve() == nil {
			return d.conn, false, nil
		}
	}
}

// take reserves a stream on an open connection and forgets those that are closed. The caller holds the mutex.
func (t *Transport) take() (found *http.ClientConn) {
	open := t.conns[:0]
	for _, c := range t.conns {
		if c.Err() != nil {
			continue
		}
		open = append(open, c)
		if found == nil && c.Reserve() == nil {
			found = c
		}
	}
	clear(t.conns[len(open):])
	t.conns = open
	return found
}

// open dials, and the fallback address if that was refused.
func (t *Transport) open(d *dial) {
	limit := t.ConnectTimeout
	if limit == 0 {
		limit = 3 * time.Second
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	d.conn, d.err = t.connect(ctx, t.Address)
	if d.err != nil && t.Fallback != "" && ctx.Err() == nil {
		if c, err := t.connect(ctx, t.Fallback); err == nil {
			d.conn, d.err = c, nil
		}
	}
	t.mu.Lock()
	if d.err == nil {
		t.conns = append(t.conns, d.conn)
	}
	t.dialing = nil
	t.mu.Unlock()
	close(d.done)
}

func (t *Transport) connect(ctx context.Context, address string) (*http.ClientConn, error) {
	idle := t.IdleTimeout
	if idle == 0 {
		idle = 90 * time.Second
	}
	header := t.MaxHeaderBytes
	if header == 0 {
		header = 64 << 10
	}
	var protocols http.Protocols
	scheme := "http"
	nt := &http.Transport{
		DialContext:            t.dialContext,
		IdleConnTimeout:        idle,
		MaxResponseHeaderBytes: int64(header),
		DisableCompression:     true,
		Protocols:              &protocols,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: pingAfter, PingTimeout: pingTimeout, WriteByteTimeout: writeTimeout,
			MaxReceiveBufferPerStream: streamWindow, MaxReceiveBufferPerConnection: connWindow,
		},
	}
	if t.TLS != nil {
		scheme = "https"
		protocols.SetHTTP2(true)
		nt.TLSClientConfig = t.TLS().Clone()
	} else {
		protocols.SetUnencryptedHTTP2(true)
	}
	c, err := nt.NewClientConn(ctx, scheme, address)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// A client that does not take its answer leaves it in its stream's window, which is therefore small. The connection, which
// others share, has a window for more such streams than it has: were it to run out, they would all wait for that client.
const (
	streamWindow = 256 << 10
	connWindow   = 1 << 30
)

// writeTimeout is how long a backend may take none of what is written.
const writeTimeout = 60 * time.Second

func (t *Transport) dialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{Control: t.Control}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return gather(c, writeTimeout, false), nil
}

// Idle is the number of open connections.
func (t *Transport) Idle() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.conns)
}

// CloseIdle closes connections without streams now, and the others when their last stream ends.
func (t *Transport) CloseIdle() {
	t.mu.Lock()
	conns := t.conns
	t.conns = nil
	t.mu.Unlock()
	for _, c := range conns {
		if c.InFlight() == 0 {
			c.Close()
			continue
		}
		c.SetStateHook(func(c *http.ClientConn) {
			if c.InFlight() == 0 {
				c.Close()
			}
		})
	}
}

// RoundTrip is Send with an empty Call: the contract of http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.Send(r, new(h1.Call))
}

// errTimeout is the cause of a context that a limit of ours ended.
var errTimeout = errors.New("time limit")
