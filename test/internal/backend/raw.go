package backend

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
)

// Raw is a backend below HTTP. It sees the bytes that the proxy sends, and
// answers with bytes or not at all.
type Raw struct {
	Name     string
	Address  string
	Requests await.Values[Request] // each request that was read completely

	listener net.Listener
	mu       sync.Mutex
	open     map[net.Conn]bool
	running  sync.WaitGroup
}

// Request is a request with its bytes as they were received.
type Request struct {
	Head string // request line, field lines and the empty line, each with its CR LF
	Body string // Content-Length bytes, or the chunks with their framing
}

// Fields returns the values of all field lines with a name, in order and
// without surrounding blanks.
func (r Request) Fields(name string) []string {
	var values []string
	for line := range strings.SplitSeq(r.Head, "\r\n") {
		field, value, ok := strings.Cut(line, ":")
		if ok && strings.EqualFold(field, name) {
			values = append(values, strings.TrimSpace(value))
		}
	}

	return values
}

// Conn is a connection of the proxy.
type Conn struct {
	net.Conn
	In *bufio.Reader
}

// StartRaw calls serve with each connection. The connection is closed when
// serve returns.
func StartRaw(tb testing.TB, name string, serve func(*Conn)) *Raw {
	tb.Helper()
	l := Listen(tb)
	b := &Raw{Name: name, Address: l.Addr().String(), listener: l, open: map[net.Conn]bool{}}

	b.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}

			b.track(conn, true)
			b.running.Go(func() {
				defer b.track(conn, false)
				serve(&Conn{Conn: conn, In: bufio.NewReader(conn)})
			})
		}
	})
	tb.Cleanup(func() {
		b.Close()
		b.running.Wait()
	})

	return b
}

// StartScript answers every request on every connection with the bytes that
// answer returns. If these are empty, it closes the connection.
func StartScript(tb testing.TB, name string, answer func(Request) string) *Raw {
	tb.Helper()
	var b *Raw
	ready := make(chan struct{})

	b = StartRaw(tb, name, func(c *Conn) {
		<-ready
		for {
			r, err := c.ReadRequest()
			if err != nil {
				return
			}

			b.Requests.Add(r)
			reply := answer(r)
			if _, err := io.WriteString(c, reply); err != nil || reply == "" {
				return
			}
		}
	})
	close(ready)

	return b
}

// Answer returns a complete response with a body and further field lines.
func Answer(status int, body string, fields ...string) string {
	var b strings.Builder
	b.WriteString("HTTP/1.1 " + strconv.Itoa(status) + " Answer\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n")
	for _, f := range fields {
		b.WriteString(f + "\r\n")
	}

	return b.String() + "\r\n" + body
}

// Target returns the backend as an item of LB_BACKENDS.
func (b *Raw) Target(options ...string) string {
	return Target("http://"+b.Address, b.Name, options...)
}

// Environment returns LB_BACKENDS with this backend alone.
func (b *Raw) Environment() string { return "LB_BACKENDS=" + b.Target() }

// Close closes the listener and every connection.
func (b *Raw) Close() {
	_ = b.listener.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	for conn := range b.open {
		_ = conn.Close()
	}
}

func (b *Raw) track(conn net.Conn, open bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if open {
		b.open[conn] = true
		return
	}

	delete(b.open, conn)
	_ = conn.Close()
}

// ReadRequest reads a request with its body. It checks nothing.
func (c *Conn) ReadRequest() (Request, error) {
	head, err := c.ReadHead()
	r := Request{Head: head}
	if err != nil {
		return r, err
	}

	if n := r.Fields("Content-Length"); len(n) == 1 {
		length, _ := strconv.Atoi(n[0])
		body := make([]byte, length)
		_, err = io.ReadFull(c.In, body)
		r.Body = string(body)
	}

	if len(r.Fields("Transfer-Encoding")) > 0 {
		r.Body, err = c.readChunks()
	}

	return r, err
}

// ReadHead reads up to the empty line and includes it.
func (c *Conn) ReadHead() (string, error) {
	var head bytes.Buffer
	for {
		line, err := c.In.ReadBytes('\n')
		head.Write(line)
		if err != nil || len(bytes.TrimRight(line, "\r\n")) == 0 {
			return head.String(), err
		}
	}
}

// readChunks reads a chunked body with its framing and its trailers.
func (c *Conn) readChunks() (string, error) {
	var all strings.Builder
	for {
		line, err := c.In.ReadString('\n')
		all.WriteString(line)
		if err != nil {
			return all.String(), err
		}

		size, err := strconv.ParseInt(strings.TrimSpace(line), 16, 32)
		if err != nil || size == 0 {
			break
		}

		chunk := make([]byte, size+2)
		_, err = io.ReadFull(c.In, chunk)
		all.Write(chunk)
		if err != nil {
			return all.String(), err
		}
	}

	trailers, err := c.ReadHead()
	return all.String() + trailers, err
}
