package h1

import (
	"errors"
	"net"
	"net/http"
	"time"
)

// switched returns the response to an upgrade. A 101 must name the protocol
// that was asked for.
func (l *link) switched() (*http.Response, error) {
	h := &l.head
	if !l.call.Upgrade || !h.upgrade || !h.websocket {
		return nil, errSwitch
	}

	h.dropFraming(http.StatusSwitchingProtocols)
	if l.release != nil {
		l.release()
	}

	l.c.SetDeadline(time.Time{})
	if l.out = nil; l.in.buffered() == 0 {
		l.in.release() // a tunnel may last for hours and doesn't need the buffers
	}

	return &http.Response{
		Status: "101 Switching Protocols", StatusCode: http.StatusSwitchingProtocols,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h.header, Body: &Upgraded{l}, ContentLength: 0, Request: l.request,
	}, nil
}

// Upgraded is the body of a 101: the connection to the backend, beginning with
// the bytes after the head. One goroutine may read while another writes. There
// are no time limits.
type Upgraded struct{ l *link }

// Read returns the bytes after the head first.
func (u *Upgraded) Read(p []byte) (int, error) {
	if u.l.in.buffered() > 0 {
		return u.l.in.take(p), nil
	}
	return u.l.c.Read(p)
}

// Write sends bytes of the tunnel to the backend.
func (u *Upgraded) Write(p []byte) (int, error) { return u.l.c.Write(p) }

// Close closes the connection.
func (u *Upgraded) Close() error { return u.l.close() }

// SetWriteDeadline sets the time from which on writes fail.
func (u *Upgraded) SetWriteDeadline(t time.Time) error { return u.l.c.SetWriteDeadline(t) }

// CloseWrite shuts down the writing side.
func (u *Upgraded) CloseWrite() error {
	if half, ok := u.l.c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Buffered returns how many bytes Read can return without the connection.
func (u *Upgraded) Buffered() int { return u.l.in.buffered() }

// NetConn returns the connection, for splicing when nothing is buffered.
func (u *Upgraded) NetConn() net.Conn { return u.l.c }
