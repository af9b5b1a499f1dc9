package strict

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// slowClients is how many connections each kind of slow client opens.
const slowClients = 300

// slow are clients that hold a connection as long as possible, with a head, a
// body or an answer that never ends. Each returns when the proxy has closed the
// connection, or an error.
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

// drip sends start, then a piece at a time until an answer comes.
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

// Three kinds of slow clients at once are all cut off. They neither disturb
// other clients nor take much memory.
func TestSlowClients(t *testing.T) {
	t.Parallel()

	// made once, and no more than sockets hold: the backend is not to be slow
	large := backend.Answer(200, strings.Repeat("a", 1<<20))
	raw := backend.StartScript(t, "raw", func(r backend.Request) string {
		if strings.HasPrefix(r.Head, "GET /large ") {
			return large
		}
		return backend.Answer(200, "fine")
	})

	// A busy machine may need longer than the usual limit for all these
	// answers, and that is not what is judged here.
	p := pillion.Start(t, append(append([]string{"LB_BACKENDS=" + raw.Target()}, limits...), "LB_RESPONSE_TIMEOUT=60s")...)
	var clients, others sync.WaitGroup
	var served int
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
				t.Errorf("somebody else's request: %d %q %v", status, body, err)
			}

			served++
			conn.Close()
		}
	})
	for kind, send := range slow {
		for range slowClients {
			clients.Go(func() {
				conn, err := net.Dial("tcp", p.Address)
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(2 * await.Limit))
				if err := send(conn); err != nil {
					t.Errorf("slow %s: %v", kind, err)
				}
			})
		}
	}

	clients.Wait()
	close(done)
	others.Wait()
	peak, most := peakMemory(t, p.PID()), 96<<10
	if binary.Race {
		most *= 8 // the race detector's own books
	}

	if peak > most {
		t.Errorf("%d KiB at the peak for %d slow clients, at most %d", peak, 3*slowClients, most)
	}

	t.Logf("%d requests of others, %d KiB at the peak", served, peak)
}

// peakMemory returns a process's largest resident set so far in KiB.
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
