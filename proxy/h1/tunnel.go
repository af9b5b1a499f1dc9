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

// Tunnel is a client connection that a handler took over. Until it is closed,
// the server counts it, and Shutdown waits for it.
type Tunnel struct {
	net.Conn
	conn *conn
	once sync.Once
	err  error
}

// Close closes the connection. Later calls return the same error as the first.
func (t *Tunnel) Close() error {
	t.once.Do(func() {
		t.err = t.Conn.Close()
		t.conn.server.leave(t.conn)
	})
	return t.err
}

// CloseWrite shuts down the writing side.
func (t *Tunnel) CloseWrite() error {
	if half, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// NetConn returns the connection.
func (t *Tunnel) NetConn() net.Conn { return t.Conn }

// hijack takes the connection from the server. The reader has what was read
// after the request.
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
		// Nothing else notices a client that vanished. Listeners may have
		// keep-alive off, because it costs four system calls per connection.
		tcp.SetKeepAlive(true)
	}

	glued := append([]byte(nil), x.in.bytes()...)
	x.in.release() // a tunnel may last for hours and doesn't need the buffer
	c.share.Close(c.server.Budget, transactionMemory)
	t := &Tunnel{Conn: c.c, conn: c}
	r := bufio.NewReaderSize(io.MultiReader(&leftover{glued}, t), max(smallPiece, len(glued)))
	if len(glued) > 0 {
		r.Peek(len(glued))
	}

	c.server.enterTunnel(c)
	return t, bufio.NewReadWriter(r, bufio.NewWriterSize(t, smallPiece)), nil
}

// smallPiece is enough for callers that use Hijack's buffers only for the bytes
// after the request.
const smallPiece = 512

// leftover returns bytes once.
type leftover struct{ b []byte }

// Read returns the rest of the bytes, then io.EOF.
func (l *leftover) Read(p []byte) (int, error) {
	if len(l.b) == 0 {
		return 0, io.EOF
	}

	n := copy(p, l.b)
	l.b = l.b[n:]

	return n, nil
}

// replayed is a connection some of whose bytes were read already.
type replayed struct {
	net.Conn
	r    io.Reader
	read []byte
}

// Taken returns the bytes that were read already, and the connection.
func (c *replayed) Taken() ([]byte, net.Conn) { return c.read, c.Conn }

// Read returns the bytes that were read already, and then reads from the
// connection.
func (c *replayed) Read(p []byte) (int, error) { return c.r.Read(p) }

// handOver gives the connection and its preface to the HTTP/2 server.
func (c *conn) handOver() {
	var conn net.Conn = c.c
	if c.x != nil && c.x.in.buffered() > 0 {
		read := append([]byte(nil), c.x.in.bytes()...)
		conn = &replayed{c.c, io.MultiReader(&leftover{read}, c.c), read}
	}

	if c.x != nil {
		c.x.in.reset()
		c.server.release(c)
	}

	c.share.Close(c.server.Budget, transactionMemory)
	c.c.SetDeadline(time.Time{})
	c.state.Store(handedToHTTP2)
	c.session = c.server.HTTP2(conn, c)
}
