package strict

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// slowClients is how many connections each kind of slow client opens.
const slowClients = 300

// slow are the clients that hold a connection for as long as they may: with a head, a body, or an answer that never
// ends. Each returns when the proxy ended the connection, or with an error.
var slow = map[string]func(net.Conn) error{
	"head": func(c net.Conn) error { return drip(c, "GET / HTTP/1.1\r\nHost: app.example\r\n", "X: y\r\n") },
	"body": func(c net.Conn) error { // one byte, and then silence
		return drip(c, "POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 1000000\r\n\r\na", "")
	},
	"reading": func(c net.Conn) error {
		_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
		if _, err := io.WriteString(c, line("GET /large HTTP/1.1")); err != nil {
			return err
		}
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for { // a probe of the connection that takes nothing from it
			<-tick.C
			if _, err := io.WriteString(c, "X"); isTimeout(err) {
				return err
			} else if err != nil {
				return nil
			}
		}
	},
}

// drip sends the start, then a piece at a time while nothing comes back.
func drip(c net.Conn, start, piece string) error {
	if _, err := io.WriteString(c, start); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, c)
	}()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(await.Limit); ; {
		select {
		case <-ended:
			return nil
		case <-tick.C:
			_, _ = io.WriteString(c, piece)
		case <-end:
			return fmt.Errorf("still open after %v", await.Limit)
		}
	}
}

// TestSlowClients has three kinds of slow clients at once. All are cut, nobody else notices, and none costs much memory.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("a", 1<<20)
	raw := backend.StartScript(t, "raw", func(r backend.Request) string {
		if strings.HasPrefix(r.Head, "GET /large ") {
			return backend.Answer(200, large+large+large+large+large+large+large+large)
		}
		return backend.Answer(200, "fine")
	})
	p := start(t, raw.Target())
	var clients, others sync.WaitGroup
	var served, failed atomic.Int64
	done := make(chan struct{})
	others.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			conn, in := connect(t, p.Address)
			_, _ = io.WriteString(conn, get("Connection: close"))
			if status, body, _, err := whole(in, "GET"); status != 200 || body != "fine" || err != nil {
				failed.Add(1)
			}
			served.Add(1)
			conn.Close()
		}
	})
	for kind, play := range slow {
		for range slowClients {
			clients.Go(func() {
				conn, err := net.Dial("tcp", p.Address)
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(2 * await.Limit))
				if err := play(conn); err != nil {
					t.Errorf("slow %s: %v", kind, err)
				}
			})
		}
	}
	clients.Wait()
	close(done)
	others.Wait()
	// One may be late where the clients and the race detector leave the program no CPU for as long as a head may take.
	if n, all := failed.Load(), served.Load(); n > 1+all/100 || all == 0 {
		t.Errorf("%d of %d requests of others failed", n, all)
	}
	if peak := peakMemory(t, p.PID()); peak > 256<<10 {
		t.Errorf("%d KiB at the peak for %d slow clients", peak, 3*slowClients)
	} else {
		t.Logf("%d KiB at the peak", peak)
	}
}

// peakMemory is a process's largest resident set so far in KiB.
func peakMemory(t *testing.T, pid int) (kib int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("no /proc")
	}
	_, peak, _ := strings.Cut(string(text), "VmHWM:")
	_, _ = fmt.Sscan(peak, &kib)
	return kib
}
