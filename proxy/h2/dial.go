package h2

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// dial is a connection that is being opened. All requests that wait for it
// share its outcome.
type dial struct {
	done     chan struct{}
	relieves bool // it may shed load (socket.Relieves)
	conn     *conn
	err      error
}

// dial returns the dial in progress, or begins one for a request's context,
// which does not end it. It ends within the connect timeout.
func (t *Transport) dial(request context.Context) *dial {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dialing == nil {
		t.dialing = &dial{done: make(chan struct{}), relieves: socket.Relieves(request)}
		go t.open(t.dialing)
	}
	return t.dialing
}

// open dials Address, and Fallback if that refuses.
func (t *Transport) open(d *dial) {
	limit := t.ConnectTimeout
	if limit == 0 {
		limit = 3 * time.Second
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if !d.relieves {
		ctx = socket.WithoutRelief(ctx)
	}

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

func (t *Transport) connect(ctx context.Context, address string) (*conn, error) {
	d := &net.Dialer{Control: t.control}
	nc, err := t.Budget.Dial(ctx, func(ctx context.Context) (net.Conn, error) {
		return d.DialContext(ctx, "tcp", address)
	})
	if err != nil {
		return nil, err
	}
	if t.TLS != nil {
		if nc, err = t.handshake(ctx, nc); err != nil {
			return nil, err
		}
	}
	return t.begin(nc), nil
}

// begin begins to speak HTTP/2 on a connection.
func (t *Transport) begin(nc net.Conn) *conn {
	c := newConn(nc, t.headLimit(), backendWindow)
	c.transport = t
	c.introduce()
	go func() { c.shut(c.read()) }()
	return c
}

// handshake completes TLS. It fails if the backend does not choose h2 by ALPN
// (RFC 9113 section 3.2).
func (t *Transport) handshake(ctx context.Context, nc net.Conn) (net.Conn, error) {
	c := tls.Client(nc, t.TLS())
	if err := c.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, wire.ExplainHandshake(err)
	}
	if chosen := c.ConnectionState().NegotiatedProtocol; chosen != "h2" {
		nc.Close()
		if chosen == "" {
			chosen = "no protocol"
		}
		return nil, fmt.Errorf("%w (it chose %s)", wire.ErrNoHTTP2, chosen)
	}
	return c, nil
}

func (t *Transport) headLimit() int {
	if t.MaxHeaderBytes > 0 {
		return t.MaxHeaderBytes
	}
	return 64 << 10
}

// introduce sends the client's preface (RFC 9113 section 3.4).
func (c *conn) introduce() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(c.out, preface...)
	c.out = appendSettings(c.out,
		setting{settingEnablePush, 0},
		setting{settingInitialWindowSize, backendStream},
		setting{settingMaxHeaderListSize, c.dec.limit},
	)
	c.out = appendWindowUpdate(c.out, 0, backendWindow-firstWindow)
	c.kick()

	c.idleSince = time.Now()
	c.arm(c.idleSince.Add(c.idleTimeout()))
}
