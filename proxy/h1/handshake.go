package h1

import (
	"context"
	"crypto/tls"
	"time"
)

// handshake makes TLS ready, if it is TLS, and hands over what agreed on HTTP/2. It says whether HTTP/1 is to follow.
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
	if t.HandshakeContext(ctx) != nil {
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

// remoteAddr is said by every request of the connection.
func (c *conn) remoteAddr() string {
	if c.remote == "" {
		c.remote = c.c.RemoteAddr().String()
	}
	return c.remote
}

// departedTLS sees only the connection's own end: what is readable may be a record that says anything.
func (c *conn) departedTLS() peek {
	raw := poller(netConn(c.c))
	if raw == nil {
		return silent
	}
	p := broken
	raw.Control(func(fd uintptr) {
		if socketOpen(int(fd)) {
			p = silent
		}
	})
	return p
}
