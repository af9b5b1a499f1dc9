package test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

func TestLimit_ASlowHeadIs408(t *testing.T) {
	t.Parallel()
	p, raw := recorded(t, []string{"LB_HEADER_TIMEOUT=500ms"})
	c := wire.Dial(t, p.Address)
	began := time.Now()
	c.Send("GET / HTTP/1.1\r\nHost: x\r\n")
	r, _ := c.Response("GET")
	if r.StatusCode != http.StatusRequestTimeout || time.Since(began) < 500*time.Millisecond {
		t.Errorf("status %d after %v", r.StatusCode, time.Since(began))
	}

	if _, err := c.Rest(); err != nil {
		t.Errorf("the connection did not end cleanly: %v", err)
	}
	if raw.Requests.Len() != 0 {
		t.Error("the backend saw half a request")
	}
}

func TestLimit_AStalledBodyIs408(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, "LB_STALL_TIMEOUT=500ms", backend.Backends(backend.StartMany(t, 1)...))
	c := wire.Dial(t, p.Address)
	c.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
	if r, _ := c.Response("POST"); r.StatusCode != http.StatusRequestTimeout {
		t.Errorf("status %d, want 408", r.StatusCode)
	}
}

func TestLimit_AnIdleConnectionIsClosed(t *testing.T) {
	t.Parallel()
	p, _ := recorded(t, []string{"LB_IDLE_TIMEOUT=500ms"})
	for _, requests := range []int{0, 2} {
		c := wire.Dial(t, p.Address)
		for range requests {
			c.Get("/")
			c.Response("GET")
		}

		if rest, err := c.Rest(); rest != "" || err != nil {
			t.Errorf("after %d requests an idle connection ended with %q (%v)", requests, rest, err)
		}
	}
}

func TestLimit_ConnectionsOverTheLimitAreNeverHalfServed(t *testing.T) {
	t.Parallel()
	p, _ := recorded(t, []string{"LB_MAX_CONNECTIONS=2"})
	var open []*wire.Conn

	for range 2 {
		c := wire.Dial(t, p.Address)
		c.Get("/")
		c.Response("GET")
		open = append(open, c)
	}

	over := wire.Dial(t, p.Address)
	if rest, _ := over.Rest(); rest != "" && !strings.HasPrefix(rest, "HTTP/1.1 503 ") {
		t.Errorf("a connection over the limit got %q", rest)
	}

	for _, c := range open {
		c.Get("/")
		if r, _ := c.Response("GET"); r.StatusCode != http.StatusOK {
			t.Errorf("a connection within the limit got %d", r.StatusCode)
		}
	}
}
