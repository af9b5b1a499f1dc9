package strict

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// The kernel moves bodies of this size from socket to socket. It reads much
// ahead of a slow reader.
const movedSize = 8 << 20

// stallLimit is the stall timeout of these tests. slowFor is how long a reader
// or writer is slow.
const (
	stallLimit = 4 * time.Second // much for so little, but this machine may be busy
	slowFor    = 3 * stallLimit
)

// sip reads small pieces, each well within the stall timeout, until the timeout
// has passed. Then it reads the rest.
func sip(r io.Reader, total int) error {
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()

	p := make([]byte, 8<<10)
	for end := time.Now().Add(slowFor); time.Now().Before(end); <-tick.C {
		n, err := r.Read(p)
		if total -= n; err != nil {
			return fmt.Errorf("%d bytes before the end: %w", total, err)
		}
	}

	_, err := io.CopyN(io.Discard, r, int64(total))
	return err
}

// A slow reader that makes progress is not cut off, even if it needs longer
// than the timeout for what the kernel has read ahead.
func TestMoved_ASlowReaderIsNotCut(t *testing.T) {
	t.Parallel()
	large := backend.Answer(200, strings.Repeat("a", movedSize))
	raw := backend.StartScript(t, "raw", func(backend.Request) string { return large })
	p := pillion.Start(t, "LB_BACKENDS="+raw.Target(), "LB_STALL_TIMEOUT="+stallLimit.String())
	conn, in := connect(t, p.Address)
	_ = conn.(*net.TCPConn).SetReadBuffer(32 << 10)
	_, _ = io.WriteString(conn, get())
	if err := sip(in, len(large)); err != nil {
		t.Error(err)
	}
}

// The same holds for a slow backend and the body of a request.
func TestMoved_ASlowBackendIsNotCut(t *testing.T) {
	t.Parallel()
	raw := backend.StartRaw(t, "raw", func(c *backend.Conn) {
		_ = c.Conn.(*net.TCPConn).SetReadBuffer(32 << 10)
		if _, err := c.ReadHead(); err != nil {
			return
		}

		if err := sip(c.In, movedSize); err != nil {
			t.Error(err)
			return
		}

		_, _ = io.WriteString(c, backend.Answer(200, "all of it"))
	})
	p := pillion.Start(t, "LB_BACKENDS="+raw.Target(), "LB_STALL_TIMEOUT="+stallLimit.String())
	conn, in := connect(t, p.Address)
	go func() {
		_, _ = io.WriteString(conn, post(strings.Repeat("a", movedSize), fmt.Sprintf("Content-Length: %d", movedSize)))
	}()
	if status, body, _, err := whole(in, "POST"); status != 200 || body != "all of it" || err != nil {
		t.Errorf("%d %q %v", status, body, err)
	}
}

// If a backend stops sending such a body, the stall timeout ends the answer, as
// for any other body.
func TestMoved_ASilentBackendIsCutOff(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	defer close(end)

	raw := backend.StartRaw(t, "raw", func(c *backend.Conn) {
		if _, err := c.ReadRequest(); err == nil {
			_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nhello", movedSize)
			<-end
		}
	})
	p := pillion.Start(t, "LB_BACKENDS="+raw.Target(), "LB_STALL_TIMEOUT="+stallLimit.String())
	conn, in := connect(t, p.Address)
	_ = conn.SetDeadline(time.Now().Add(await.Limit / 2))
	_, _ = io.WriteString(conn, get())
	if _, _, _, err := whole(in, "GET"); err == nil || isTimeout(err) || strings.Contains(err.Error(), "i/o timeout") {
		t.Errorf("the answer: %v", err)
	}
}

// Such a body over HTTP/2 is forwarded at once, like any other body. Its
// backend may take its time.
func TestMoved_WhatComesOverHTTP2IsShownAtOnce(t *testing.T) {
	t.Parallel()
	var faults await.Values[string]
	shown := make(chan struct{})
	target := startFramed(t, &faults, func(_ seen, a *answerer) {
		a.headers(false, pair{":status", "200"}, pair{"content-length", fmt.Sprint(movedSize)})
		a.data(false, "hello")
		<-shown
	})
	defer close(shown)
	conn, in := connect(t, start(t, target).Address)
	_, _ = io.WriteString(conn, get())
	_ = conn.SetReadDeadline(time.Now().Add(await.Limit / 3))
	r, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}

	p := make([]byte, len("hello"))
	if _, err := io.ReadFull(r.Body, p); err != nil || string(p) != "hello" {
		t.Errorf("%q %v", p, err)
	}
}
