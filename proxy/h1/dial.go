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
)

// dial makes a connection, TLS included, for one exchange.
func (t *Transport) dial(r *http.Request, c *Call) (*link, error) {
	limit := t.ConnectTimeout
	if limit <= 0 {
		limit = 3 * time.Second
	}
	end := time.Now().Add(limit)
	if !c.Deadline.IsZero() && c.Deadline.Before(end) {
		end = c.Deadline
	}
	parent := r.Context()
	if _, ours := parent.(*requestContext); ours {
		parent = context.Background() // asking ours for Done would cost it its reuse
	}
	ctx, cancel := context.WithDeadline(parent, end)
	defer cancel()
	conn, err := t.connect(ctx)
	if err != nil {
		e := &Error{Outcome: NotSent, Phase: Connect, Err: err}
		var timed net.Error
		e.Timeout = errors.As(err, &timed) && timed.Timeout() || errors.Is(err, os.ErrDeadlineExceeded)
		if parent.Err() != nil {
			e.Client, e.Timeout = Gone, false
		}
		return nil, e
	}
	l := t.newLink(conn)
	l.heard = time.Now()
	return l, nil
}

// connect dials Address, Fallback when that refuses, and shakes hands.
func (t *Transport) connect(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{Control: t.Control}
	conn, err := d.DialContext(ctx, "tcp", t.Address)
	if err != nil && t.Fallback != "" && errors.Is(err, syscall.ECONNREFUSED) {
		conn, err = d.DialContext(ctx, "tcp", t.Fallback)
	}
	if err != nil || t.TLS == nil {
		return conn, err
	}
	secure := tls.Client(conn, t.tlsConfig())
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secure, nil
}

// tlsConfig is the caller's, with the name to verify where that is missing.
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
