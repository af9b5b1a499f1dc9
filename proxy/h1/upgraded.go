package h1

import (
	"errors"
	"net"
	"net/http"
	"time"
)

// switched is the answer to an upgrade: nothing else may be switched to than what was asked for.
func (l *link) switched() (*http.Response, error) {
	h := &l.head
	if !l.call.Upgrade || !h.upgrade || !h.websocket || h.lengths+h.codings > 0 {
		return nil, errSwitch
	}
	if l.release != nil {
		l.release()
	}
	l.c.SetDeadline(time.Time{})
	if l.out = nil; l.in.buffered() == 0 {
		l.in = input{from: l} // a tunnel lasts, and has no use for the buffers
	}
	return &http.Response{
		Status: "101 Switching Protocols", StatusCode: http.StatusSwitchingProtocols,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h.header, Body: &Upgraded{l}, ContentLength: 0, Request: l.request,
	}, nil
}

// Upgraded is the body of a 101: the connection to the backend, beginning with what came behind the head. One goroutine
// may read while another writes. It keeps no limits.
type Upgraded struct{ l *link }

// Read takes what was glued to the head first.
func (u *Upgraded) Read(p []byte) (int, error) {
	if u.l.in.buffered() > 0 {
		return u.l.in.take(p), nil
	}
	return u.l.c.Read(p)
}

// Write sends bytes of the tunnel to the backend.
func (u *Upgraded) Write(p []byte) (int, error) { return u.l.c.Write(p) }

// Close closes the connection.
func (u *Upgraded) Close() error { return u.l.c.Close() }

// SetWriteDeadline is from when on writes fail.
func (u *Upgraded) SetWriteDeadline(t time.Time) error { return u.l.c.SetWriteDeadline(t) }

// CloseWrite ends our direction.
func (u *Upgraded) CloseWrite() error {
	if half, ok := u.l.c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Buffered is the number of bytes that Read would take without the connection.
func (u *Upgraded) Buffered() int { return u.l.in.buffered() }

// NetConn is the connection itself, for splicing once nothing is buffered.
func (u *Upgraded) NetConn() net.Conn { return u.l.c }
