//go:build linux && (amd64 || arm64)

package h1

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
)

// wantAsleep waits until n connections sleep.
func wantAsleep(t *testing.T, set *socket.IdleSet, n int) {
	t.Helper()
	for begun := time.Now(); set.Len() != n; time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > 10*time.Second {
			t.Fatalf("%d connections sleep, want %d", set.Len(), n)
		}
	}
}

// wantNone waits until the server has no connection.
func wantNone(t *testing.T, s *Server) {
	t.Helper()
	for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		open, _ := s.Connections()
		if open == 0 {
			return
		}
		if time.Since(begun) > 10*time.Second {
			t.Fatalf("%d connections are open", open)
		}
	}
}

// Connections that have been idle for a moment sleep. A request wakes its
// connection, again and again, whole or in parts.
func TestServer_IdleConnectionsSleep(t *testing.T) {
	t.Parallel()
	s := handler(hello)
	s.IdleTimeout = time.Minute
	addr := serve(t, s)
	clients := make([]*client, 10)
	for i := range clients {
		clients[i] = dial(t, addr)
		clients[i].send(get)
		clients[i].response("GET")
	}

	const post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
	for _, second := range []string{get[:9], get, post, "\r\n" + get} {
		wantAsleep(t, s.Idle, len(clients))
		for _, c := range clients {
			c.send(second)
			if second == get[:9] {
				c.send(get[9:])
			}
		}
		for _, c := range clients {
			if resp, body := c.response("GET"); resp.StatusCode != 200 || body != "hello" {
				t.Fatal(resp, body)
			}
		}
	}
}

// A sleeping connection ends as any other idle one.
func TestServer_SleepingConnectionsEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		timeout time.Duration
		ends    func(s *Server, c *client)
	}{
		"the client closes":       {time.Minute, func(_ *Server, c *client) { c.Close() }},
		"the client half-closes":  {time.Minute, func(_ *Server, c *client) { c.Conn.(*net.TCPConn).CloseWrite() }},
		"the idle timeout passes": {time.Second, func(*Server, *client) {}},
		"no timeout, a shutdown": {0, func(s *Server, _ *client) {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if err := s.Shutdown(ctx); err != nil {
				t.Error(err)
			}
		}},
		"the server closes": {time.Minute, func(s *Server, _ *client) { s.Close() }},
		"load is shed":      {time.Minute, func(s *Server, _ *client) { s.Shed(1) }},
		"bytes that are no request": {time.Minute, func(_ *Server, c *client) {
			c.send("nonsense\r\n\r\n")
			if got := c.rest(); !strings.HasPrefix(got, "HTTP/1.1 400 ") {
				t.Errorf("%q", got)
			}
			c.Close()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := handler(hello)
			s.IdleTimeout = c.timeout
			k := dial(t, serve(t, s))
			k.send(get)
			k.response("GET")
			wantAsleep(t, s.Idle, 1)

			begun := time.Now()
			c.ends(s, k)
			wantNone(t, s)
			if took := time.Since(begun); took > c.timeout+5*time.Second {
				t.Errorf("it ended after %v", took)
			}
		})
	}
}

// A sleeping connection makes room for a new one.
func TestServer_SleepingConnectionsMakeRoom(t *testing.T) {
	t.Parallel()
	s := handler(hello)
	s.MaxConnections = 2
	addr := serve(t, s)
	for range 2 {
		c := dial(t, addr)
		c.send(get)
		c.response("GET")
	}
	wantAsleep(t, s.Idle, 2)

	// They have to be idle for five seconds before one is closed for another.
	for begun := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(time.Second))
		c.Write([]byte(get))
		n, _ := c.Read(make([]byte, 100))
		c.Close()
		if n > 0 {
			break
		}
		if time.Since(begun) > 20*time.Second {
			t.Fatal("no room was made")
		}
	}
}
