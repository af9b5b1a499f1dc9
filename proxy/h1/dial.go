package h1

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// dial makes a connection for a transaction, TLS included.
func (t *Transport) dial(r *http.Request, c *wire.Call) (*link, error) {
	limit := t.ConnectTimeout
	if limit <= 0 {
		limit = 3 * time.Second
	}

	end := time.Now().Add(limit)
	if !c.Deadline.IsZero() && c.Deadline.Before(end) {
		end = c.Deadline
	}

	parent := c.ContextOf(r)
	switch parent.(type) {
	case *requestContext, wire.SharedContext:
		// Calling Done on a requestContext would cost its reuse.
		parent = context.Background()
	}

	ctx, cancel := context.WithDeadline(parent, end)
	defer cancel()
	if !t.Budget.Await(LinkMemory, affordTime) {
		return nil, &wire.Error{Outcome: wire.NotSent, Phase: wire.Connect, Err: wire.ErrShort}
	}

	conn, err := t.Budget.Dial(ctx, t.connect)
	if err != nil {
		t.Budget.Give(LinkMemory)
		e := &wire.Error{Outcome: wire.NotSent, Phase: wire.Connect, Err: err}
		var timed net.Error
		e.Timeout = errors.As(err, &timed) && timed.Timeout() ||
			errors.Is(err, os.ErrDeadlineExceeded)
		if parent.Err() != nil {
			e.Client, e.Timeout = wire.Gone, false
		}

		return nil, e
	}

	l := t.newLink(conn)
	l.heard = time.Now()
	return l, nil
}

// connect dials Address, and Fallback if that refuses, and completes the TLS
// handshake.
func (t *Transport) connect(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{Control: t.Control}
	d.SetMultipathTCP(false) // its counters would be those of one path (delivery.go)
	conn, err := d.DialContext(ctx, "tcp", t.Address)
	if err != nil && t.Fallback != "" && errors.Is(err, syscall.ECONNREFUSED) {
		// The refusal stays the error, because a machine without IPv6 has no
		// address to dial ::1 from.
		if second, failed := d.DialContext(ctx, "tcp", t.Fallback); failed == nil {
			conn, err = second, nil
		}
	}

	if err != nil || t.TLS == nil {
		return conn, err
	}

	secure := tls.Client(conn, t.tlsConfig())
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, wire.ExplainHandshake(err)
	}

	return secure, nil
}

// tlsConfig returns the caller's configuration, with the server name if it
// lacks one.
func (t *Transport) tlsConfig() *tls.Config {
	config := t.TLS()
	if config == nil {
		config = new(tls.Config)
	}

	if config.ServerName == "" && !config.InsecureSkipVerify {
		config = config.Clone()
		if name, _, err := net.SplitHostPort(t.Address); err == nil {
			config.ServerName = name
		}
	}

	return config
}
