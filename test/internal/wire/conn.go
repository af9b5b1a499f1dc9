// Package wire is an HTTP client that writes and reads exact bytes, for what
// HTTP libraries do not show to a test.
package wire

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
)

// Conn is a client connection. A read or a write that takes longer than
// await.Limit fails the test.
type Conn struct {
	net.Conn
	In *bufio.Reader
	tb testing.TB
}

// Dial opens a connection to address, which is closed when the test ends.
func Dial(tb testing.TB, address string) *Conn {
	tb.Helper()
	conn, err := net.DialTimeout("tcp", address, await.Limit)
	if err != nil {
		tb.Fatal(err)
	}

	tb.Cleanup(func() { _ = conn.Close() })
	c := &Conn{Conn: conn, In: bufio.NewReader(conn), tb: tb}
	c.extend()

	return c
}

// extend sets the deadline of the next read or write.
func (c *Conn) extend() { _ = c.SetDeadline(time.Now().Add(await.Limit)) }

// Send writes bytes unchanged.
func (c *Conn) Send(bytes string) {
	c.tb.Helper()
	c.extend()
	if _, err := io.WriteString(c.Conn, bytes); err != nil {
		c.tb.Fatalf("write to the proxy: %v", err)
	}
}

// Get sends a GET for target with further field lines.
func (c *Conn) Get(target string, fields ...string) {
	c.tb.Helper()
	c.Send(Request("GET", target, "", fields...))
}

// Request returns the bytes of a request for the host "app.example".
func Request(method, target, body string, fields ...string) string {
	var b strings.Builder
	b.WriteString(method + " " + target + " HTTP/1.1\r\nHost: app.example\r\n")
	for _, f := range fields {
		b.WriteString(f + "\r\n")
	}

	b.WriteString("\r\n" + body)
	return b.String()
}

// Head reads the head of a message, the empty line included.
func (c *Conn) Head() string {
	c.tb.Helper()
	c.extend()
	var head strings.Builder

	for {
		line, err := c.In.ReadString('\n')
		head.WriteString(line)
		if err != nil {
			c.tb.Fatalf("read a head: %v after %q", err, head.String())
		}

		if strings.TrimRight(line, "\r\n") == "" {
			return head.String()
		}
	}
}

// Response reads a final response with its body. It skips 1xx responses.
func (c *Conn) Response(method string) (*http.Response, string) {
	c.tb.Helper()
	c.extend()
	response, err := http.ReadResponse(c.In, &http.Request{Method: method})
	for err == nil && response.StatusCode < 200 && response.StatusCode != http.StatusSwitchingProtocols {
		response, err = http.ReadResponse(c.In, &http.Request{Method: method})
	}

	if err != nil {
		c.tb.Fatalf("read a response: %v", err)
	}

	body, err := io.ReadAll(response.Body)
	if err != nil {
		c.tb.Fatalf("read the body of a %d: %v", response.StatusCode, err)
	}

	return response, string(body)
}

// Expect reads len(want) bytes and fails the test if they differ from want.
func (c *Conn) Expect(want string) {
	c.tb.Helper()
	c.extend()
	got := make([]byte, len(want))
	n, err := io.ReadFull(c.In, got)
	if string(got[:n]) != want {
		c.tb.Fatalf("read %q (%v), want %q", got[:n], err, want)
	}
}

// Rest reads until the other side ends the connection. The error is nil after a
// clean end.
func (c *Conn) Rest() (string, error) {
	c.extend()
	rest, err := io.ReadAll(c.In)
	return string(rest), err
}

// CloseWrite ends the sending direction.
func (c *Conn) CloseWrite() {
	c.tb.Helper()
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		c.tb.Fatal(err)
	}
}

// Reset ends the connection with an RST.
func (c *Conn) Reset() {
	_ = c.Conn.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}
