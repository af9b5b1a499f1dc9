package h1

import (
	"context"
	"crypto/tls"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
)

// handshake completes the TLS handshake, if there is one, and hands a
// connection that agreed on HTTP/2 over. It reports whether HTTP/1 follows.
func (c *conn) handshake() bool {
	t, ok := c.c.(*tls.Conn)
	if !ok {
		return true
	}

	ctx := context.Background()
	if c.server.HeaderTimeout > 0 {
		limited, cancel := context.WithTimeout(ctx, c.server.HeaderTimeout)
		defer cancel()
		ctx = limited
	}

	if err := t.HandshakeContext(ctx); err != nil {
		c.refuseClear(err)
		return false
	}

	c.since = time.Now()
	state := t.ConnectionState()
	c.tls = &state
	if state.NegotiatedProtocol != "h2" {
		return true
	}

	if c.server.HTTP2 != nil {
		c.handOver()
	}

	return false
}

// remoteAddr returns the client's address as text, for every request of the
// connection.
func (c *conn) remoteAddr() string {
	if c.remote == "" {
		c.remote = c.c.RemoteAddr().String()
	}
	return c.remote
}

// departedTLS only sees the end of the TCP connection. What is readable may be
// any TLS record.
func (c *conn) departedTLS() socket.Readiness {
	raw := socket.Raw(netConn(c.c))
	if raw == nil {
		return socket.Silent
	}

	p := socket.Broken
	raw.Control(func(fd uintptr) {
		if socket.Open(int(fd)) || c.x.expectsLast() && socket.HalfOpen(int(fd)) {
			p = socket.Silent
		}
	})
	return p
}
