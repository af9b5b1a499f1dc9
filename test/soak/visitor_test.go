package soak

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
)

// visitor is a series of clients. It is used by one goroutine.
type visitor struct {
	t       *testing.T
	address string
	seen    *outcomes
	random  *rand.Rand
	h2      *session // nil before the first visit over HTTP/2
}

// The kinds of requests over HTTP/1.
var kinds = []string{"GET", "HEAD", "POST", "POST in chunks", "POST that expects", "pipelined", "upgrade", "HTTP/1.0"}

// visit opens a connection, sends some requests, and returns how many.
func (v *visitor) visit() (n int) {
	if v.random.IntN(3) == 0 {
		return v.visitHTTP2()
	}

	conn, err := net.DialTimeout("tcp", v.address, await.Limit)
	if err != nil {
		v.seen.refuse(v.t, "connect: %v", err)
		return 1
	}

	c := &caller{visitor: v, conn: conn, in: bufio.NewReader(conn)}
	defer c.leave()
	for range 1 + v.random.IntN(12) {
		c.kind = kinds[v.random.IntN(len(kinds))]
		made, stays := c.call()
		n += made
		if !stays {
			return n
		}
	}

	return n
}

// body returns the body of a request, sometimes large enough for splice(2).
func (v *visitor) body() string {
	n := v.random.IntN(1000)
	switch v.random.IntN(50) {
	case 0:
		n = v.random.IntN(300 << 10)
	case 1, 2, 3, 4, 5:
		n = v.random.IntN(20 << 10)
	}

	return strings.Repeat("0123456789abcdef", n/16+1)[:n]
}

func (v *visitor) target() string { return fmt.Sprintf("/%x", v.random.Uint64()) }

// caller is a visitor's HTTP/1 connection.
type caller struct {
	*visitor
	conn net.Conn
	in   *bufio.Reader
	kind string
}

// leave closes the connection, with FIN or with a reset.
func (c *caller) leave() {
	if c.random.IntN(3) == 0 {
		_ = c.conn.(*net.TCPConn).SetLinger(0)
	}
	_ = c.conn.Close()
}

// call sends one request, or several at once. It reports whether the connection
// can carry more.
func (c *caller) call() (n int, stays bool) {
	_ = c.conn.SetDeadline(time.Now().Add(2 * await.Limit))
	if c.kind == "upgrade" {
		c.tunnel()
		return 1, false
	}

	n = 1
	if c.kind == "pipelined" {
		n = 2 + c.random.IntN(4)
	}

	var targets, bodies []string
	var wire strings.Builder
	for range n {
		target, body := c.target(), ""
		if strings.HasPrefix(c.kind, "POST") || c.kind == "pipelined" && c.random.IntN(2) == 0 {
			body = c.body()
		}
		wire.WriteString(c.write(target, body))
		targets, bodies = append(targets, target), append(bodies, body)
	}

	if c.kind == "POST that expects" {
		return 1, c.expect(wire.String(), targets[0], bodies[0])
	}

	sent := wire.String()
	if c.random.IntN(100) < 6 { // leave in the middle of it
		_, _ = io.WriteString(c.conn, sent[:c.random.IntN(len(sent))])
		c.seen.count(c.kind, left, n)
		return n, false
	}

	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.WriteString(c.conn, sent)
	}()
	stays = true
	for i := 0; i < n && stays; i++ {
		if stays = c.answer(targets[i], bodies[i]); !stays && i+1 < n {
			c.seen.count(c.kind, cut, n-i-1)
		}
	}

	if !stays {
		_ = c.conn.SetDeadline(time.Now()) // ends the writing
	}

	<-done
	return n, stays
}

// write returns the bytes of a request.
func (c *caller) write(target, body string) string {
	method, version, fields := http.MethodGet, "HTTP/1.1", "Host: app.example\r\n"
	switch c.kind {
	case "HEAD":
		method = http.MethodHead
	case "HTTP/1.0":
		version = "HTTP/1.0"
	case "POST in chunks":
		return "POST " + target + " HTTP/1.1\r\n" + fields + "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" +
			chunks(body)
	case "POST that expects":
		fields += "Expect: 100-continue\r\n"
	}

	if body != "" || strings.HasPrefix(c.kind, "POST") {
		method, fields = http.MethodPost, fields+fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}

	return method + " " + target + " " + version + "\r\n" + fields + "\r\n" + body
}

// expect sends the body when the answer is 100. A final answer ends the visit.
func (c *caller) expect(wire, target, body string) bool {
	head := len(wire) - len(body)
	_, _ = io.WriteString(c.conn, wire[:head])
	if c.random.IntN(100) < 6 {
		c.seen.count(c.kind, left, 1)
		return false
	}

	if first, err := c.in.Peek(len("HTTP/1.1 100")); err != nil || !strings.HasSuffix(string(first), "100") {
		c.answer(target, body)
		return false
	}

	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.WriteString(c.conn, body)
	}()
	stays := c.answer(target, body)
	if !stays {
		_ = c.conn.SetDeadline(time.Now())
	}

	<-done
	return stays
}

// answer reads a response. It reports whether another may follow.
func (c *caller) answer(target, body string) bool {
	if c.random.IntN(100) < 3 { // leave in the middle of it
		_, _ = c.in.Read(make([]byte, c.random.IntN(300)))
		c.seen.count(c.kind, left, 1)
		return false
	}

	method := http.MethodPost
	if c.kind == "HEAD" {
		method = http.MethodHead
	}

	r, err := http.ReadResponse(c.in, &http.Request{Method: method})
	for err == nil && r.StatusCode < 200 {
		r, err = http.ReadResponse(c.in, &http.Request{Method: method})
	}

	if err != nil {
		c.noteCut(c.kind, err)
		return false
	}

	return c.judge(c.kind, method, r, target, body) && !r.Close
}

// judge reads the body of a response and counts the outcome. It reports whether
// the response was complete.
func (v *visitor) judge(kind, method string, r *http.Response, target, body string) bool {
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	switch {
	case err != nil:
		v.noteCut(kind, err)
		return false
	case r.StatusCode >= 502 && r.StatusCode <= 504:
		v.seen.count(kind, failed, 1)
		return true
	}

	if r.Header.Get(earlyField) != "" {
		body = ""
	}

	want := content(target, []byte(body))
	if method == http.MethodHead {
		want = ""
	}

	if r.StatusCode != http.StatusOK || r.Header.Get(targetField) != target || string(text) != want {
		v.seen.refuse(v.t, "%s %s with a body of %d: status %d, the answer to %q, %d bytes of %d",
			kind, target, len(body), r.StatusCode, r.Header.Get(targetField), len(text), len(want))
		return false
	}

	v.seen.count(kind, whole, 1)
	return true
}

// noteCut counts an answer that the client knows to be incomplete. An answer
// that never comes is an error.
func (v *visitor) noteCut(kind string, err error) {
	v.seen.count(kind, cut, 1)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		v.seen.refuse(v.t, "%s: no answer, and no end of it: %v", kind, err)
	}
}

// tunnel upgrades, sends some bytes in both directions, and ends one side.
func (c *caller) tunnel() {
	target, body := c.target(), c.body()
	wire := "GET " + target + " HTTP/1.1\r\nHost: app.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	if c.random.IntN(100) < 6 {
		_, _ = io.WriteString(c.conn, wire[:c.random.IntN(len(wire))])
		c.seen.count(c.kind, left, 1)
		return
	}

	_, _ = io.WriteString(c.conn, wire)
	r, err := http.ReadResponse(c.in, nil)
	switch {
	case err != nil:
		c.noteCut(c.kind, err)
		return
	case r.StatusCode != http.StatusSwitchingProtocols:
		c.judge(c.kind, http.MethodGet, r, target, "")
		return
	}

	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.WriteString(c.conn, body)
	}()
	back := make([]byte, len(body))

	n, err := io.ReadFull(c.in, back)
	switch {
	case string(back[:n]) != body[:n]:
		c.seen.refuse(c.t, "other bytes come back through a tunnel")
	case err != nil:
		c.noteCut(c.kind, err)
	default:
		c.seen.count(c.kind, whole, 1)
	}

	_ = c.conn.SetDeadline(time.Now())
	<-done
}
