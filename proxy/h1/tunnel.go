package h1

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Tunnel is a client connection that a handler took over. It is counted, and waited for by Shutdown, until it is closed.
type Tunnel struct {
	net.Conn
	conn *conn
	once sync.Once
	err  error
}

// Close closes the connection. Later calls return the same as the first.
func (t *Tunnel) Close() error {
	t.once.Do(func() {
		t.err = t.Conn.Close()
		t.conn.server.leave(t.conn)
	})
	return t.err
}

// CloseWrite ends our direction.
func (t *Tunnel) CloseWrite() error {
	if half, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// NetConn is the connection itself.
func (t *Tunnel) NetConn() net.Conn { return t.Conn }

// hijack takes the connection away from the server. What was read behind the request is in the reader.
func (c *conn) hijack() (net.Conn, *bufio.ReadWriter, error) {
	x := c.x
	switch {
	case c.fd >= 0:
		return nil, nil, errors.New("hijack of a request that asks for no upgrade")
	case c.state.Load() == tunnel:
		return nil, nil, http.ErrHijacked
	case x.writer.wrote:
		if err := x.writer.FlushError(); err != nil {
			return nil, nil, err
		}
	}
	x.body.Close()
	c.c.SetDeadline(time.Time{})
	if tcp, ok := netConn(c.c).(interface{ SetKeepAlive(bool) error }); ok {
		tcp.SetKeepAlive(true) // nothing else notices a peer that vanished; listeners may have it off, as it costs four calls
	}
	glued := append([]byte(nil), x.in.bytes()...)
	x.in = input{from: c} // a tunnel lasts, and has no use for the buffer
	t := &Tunnel{Conn: c.c, conn: c}
	r := bufio.NewReaderSize(io.MultiReader(&leftover{glued}, t), max(smallPiece, len(glued)))
	if len(glued) > 0 {
		r.Peek(len(glued))
	}
	c.server.enterTunnel(c)
	return t, bufio.NewReadWriter(r, bufio.NewWriterSize(t, smallPiece)), nil
}

// smallPiece is enough for whoever uses Hijack's buffers only for what came behind the request.
const smallPiece = 512

// leftover yields bytes once.
type leftover struct{ b []byte }

// Read yields what is left, then io.EOF.
func (l *leftover) Read(p []byte) (int, error) {
	if len(l.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, l.b)
	l.b = l.b[n:]
	return n, nil
}

// replayed is a connection whose first bytes were read already.
type replayed struct {
	net.Conn
	r io.Reader
}

// Read yields the bytes that were read already, then the connection's.
func (c *replayed) Read(p []byte) (int, error) { return c.r.Read(p) }

// handOver gives the connection, with the preface that it began with, to the HTTP/2 side and waits for its end.
func (c *conn) handOver() {
	var conn net.Conn = c.c
	if c.x != nil && c.x.in.buffered() > 0 {
		read := append([]byte(nil), c.x.in.bytes()...)
		conn = &replayed{c.c, io.MultiReader(&leftover{read}, c.c)}
	}
	if c.x != nil {
		c.x.in.reset()
		c.server.release(c)
	}
	c.c.SetDeadline(time.Time{})
	c.state.Store(foreign)
	c.server.HTTP2(conn)
	c.c.Close()
}
