package soak

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
)

// client opens lines through one address.
type client struct {
	address string
	h2      *http.Transport

	mu    sync.Mutex
	conns []net.Conn // of HTTP/2
}

func newClient(t *testing.T, address string) *client {
	c := &client{address: address}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	c.h2 = &http.Transport{Protocols: &protocols, DialContext: c.dial}
	t.Cleanup(c.close)

	return c
}

// dial records the connection, so that close need not wait for its users.
func (c *client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.conns = append(c.conns, conn)
	}
	return conn, err
}

// close closes the connections that lines share.
func (c *client) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// open opens a line, which carries words in both directions.
func (c *client) open(l *line) error {
	if l.kind == duplex {
		return c.openStream(l)
	}

	conn, err := net.DialTimeout("tcp", c.address, await.Limit)
	if err != nil {
		return err
	}

	l.leave = func() { _ = conn.Close() }
	fields, status := "", http.StatusOK
	l.say = func() error { l.speak <- struct{}{}; return nil }
	if l.kind == webSocket {
		fields, status = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "+
			"dGhlIHNhbXBsZSBub25jZQ==\r\n", http.StatusSwitchingProtocols
		l.say = func() error { _, err := io.WriteString(conn, word); return err }
	}

	_ = conn.SetDeadline(time.Now().Add(await.Limit))
	if _, err := fmt.Fprintf(conn, "GET /%s HTTP/1.1\r\nHost: app.example\r\n%s\r\n", l.id, fields); err != nil {
		return err
	}

	in := bufio.NewReaderSize(conn, 512)
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}

	if response.StatusCode != status {
		return fmt.Errorf("status %d", response.StatusCode)
	}

	_ = conn.SetDeadline(time.Time{})
	from := io.Reader(in)
	if l.kind == eventStream {
		from = response.Body
	}

	go func() {
		defer conn.Close()
		l.listen(from)
	}()
	return nil
}

// openStream opens an HTTP/2 stream, on a shared connection.
func (c *client) openStream(l *line) error {
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.address+"/"+l.id, out)
	if err != nil {
		cancel()
		return err
	}

	r.Header.Set("Content-Type", "application/grpc")
	response, err := c.h2.RoundTrip(r)
	if err != nil {
		cancel()
		return err
	}

	// the stream's reset; net/http's client sees a cancel only between two
	// words
	l.leave = func() { _ = response.Body.Close() }
	l.say = func() error { _, err := io.WriteString(in, word); return err }
	go func() {
		defer cancel()
		defer response.Body.Close()
		l.listen(response.Body)
	}()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", response.StatusCode)
	}

	return nil
}

// burst opens n connections at once, sends a request on each, and closes them.
func (s *subject) burst(n int) {
	s.t.Helper()
	var asking, connected sync.WaitGroup
	connected.Add(n)

	for range n {
		asking.Go(func() {
			conn, err := net.DialTimeout("tcp", s.Address, await.Limit)
			connected.Done()
			if err != nil {
				s.t.Error(err)
				return
			}
			defer conn.Close()
			connected.Wait()
			_ = conn.SetDeadline(time.Now().Add(await.Limit))
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: app.example\r\n\r\n")

			// or what a breaking backend makes of it
			_, _ = http.ReadResponse(bufio.NewReader(conn), nil)
		})
	}

	asking.Wait()
}
