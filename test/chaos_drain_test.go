package test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// killTime is half a second less than the time after SIGTERM at which platforms
// kill a process.
const killTime = 9500 * time.Millisecond

// gone fails the test unless the process exits with 0 within killTime. It
// returns how long the exit took.
func gone(t *testing.T, p *binary.Process, told time.Time) time.Duration {
	t.Helper()
	code := p.Wait(await.Limit)
	took := time.Since(told)
	if code != 0 || took > killTime {
		t.Errorf("exit code %d after %v", code, took)
	}

	return took
}

// cut returns the numbers of cut requests and tunnels in the last log line.
func cut(p *binary.Process) (requests, tunnels float64) {
	for _, l := range p.Lines() {
		if l.String("message") == "stopped" {
			requests, _ = l.Fields["cut_requests"].(float64)
			tunnels, _ = l.Fields["cut_tunnels"].(float64)
		}
	}
	return requests, tunnels
}

// openSocket opens a WebSocket and exchanges a message in both directions.
func openSocket(t *testing.T, address string) *wire.Conn {
	t.Helper()
	c := wire.Dial(t, address)
	c.Send(wire.Request("GET", "/socket", "", handshake...))
	if head := c.Head(); !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		t.Fatalf("the handshake got %q", head)
	}

	c.Send(text("x", true))
	c.Expect(text("x", true))
	return c
}

// deliberate starts a backend that echoes WebSocket messages, and answers every
// other request after a wait.
func deliberate(t *testing.T, wait time.Duration) *backend.Raw {
	t.Helper()
	var b *backend.Raw
	ready := make(chan struct{})

	b = backend.StartRaw(t, "one", func(c *backend.Conn) {
		<-ready
		for {
			r, err := c.ReadRequest()
			if err != nil {
				return
			}

			if len(r.Fields("Upgrade")) > 0 {
				_, _ = io.WriteString(c, switching(r))
				_, _ = io.Copy(c, c.In)
				return
			}

			b.Requests.Add(r)
			if !passes(t, wait) {
				return
			}
			if _, err := io.WriteString(c, backend.Answer(200, "done")); err != nil {
				return
			}
		}
	})
	close(ready)

	return b
}

// passes waits for a time, and reports false if the test ends before.
func passes(t *testing.T, wait time.Duration) bool {
	select {
	case <-time.After(wait):
		return true
	case <-t.Context().Done():
		return false
	}
}

// askAtOnce makes n GETs, each on a connection of its own.
func askAtOnce(address string, n int) <-chan reply {
	replies := make(chan reply, n)
	for i := range n {
		go func() {
			c := &asker{address: address}
			defer c.Close()
			replies <- c.Call(question{Method: http.MethodGet, Target: "/", Number: fmt.Sprint(i)})
		}()
	}

	return replies
}

func TestChaos_SIGTERMCompletesAHundredRequestsAndEndsWebSockets(t *testing.T) {
	t.Parallel()
	for name, delay := range map[string]string{"at once": "0s", "after the default delay": "3s"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const n = 100
			b := deliberate(t, 3*time.Second)
			p := pillion.Start(t, b.Environment(), "LB_DRAIN_DELAY="+delay)
			socket := openSocket(t, p.Address)
			replies := askAtOnce(p.Address, n)
			await.Until(t, "all requests have arrived", func() bool { return b.Requests.Len() == n })
			told := time.Now()
			p.Signal(terminate)
			for range n {
				if r := soon(t, "an answer", replies); !r.OK() || r.Text != "done" {
					t.Errorf("%v", r)
				}
			}

			if rest, _ := socket.Rest(); !strings.HasPrefix(rest, "\x88") || len(rest) < 4 || rest[2:4] != "\x03\xe9" {
				t.Errorf("the WebSocket ended with %q, want a close frame of 1001", rest)
			}

			took := gone(t, p, told)
			requests, tunnels := cut(p)
			t.Logf("gone after %v; %v requests and %v tunnels cut", took, requests, tunnels)
			if requests != 0 || tunnels != 0 || b.Requests.Len() != n {
				t.Errorf("%v requests and %v tunnels were cut, the backend saw %d requests", requests, tunnels, b.Requests.Len())
			}
		})
	}
}

func TestChaos_SIGTERMCutsWhatTakesAMinuteAndSaysSo(t *testing.T) {
	t.Parallel()
	b := deliberate(t, time.Minute)
	p := pillion.Start(t, b.Environment(), "LB_DRAIN_DELAY=3s")
	socket := openSocket(t, p.Address)
	replies := askAtOnce(p.Address, 2)
	await.Until(t, "the requests have arrived", func() bool { return b.Requests.Len() == 2 })
	told := time.Now()
	p.Signal(terminate)
	if rest, _ := socket.Rest(); !strings.HasPrefix(rest, "\x88") || len(rest) < 4 || rest[2:4] != "\x03\xe9" {
		t.Errorf("the WebSocket ended with %q, want a close frame of 1001", rest)
	}

	took := gone(t, p, told)
	for range 2 {
		if r := soon(t, "the end of a request", replies); r.OK() {
			t.Errorf("an answer that nobody gave: %v", r)
		}
	}

	requests, tunnels := cut(p)
	t.Logf("gone after %v; %v requests and %v tunnels cut", took, requests, tunnels)
	if requests != 2 || tunnels != 0 {
		t.Errorf("the log says that %v requests and %v tunnels were cut", requests, tunnels)
	}
}

// An app goes on calling after the platform told both containers to go. Its
// connection stays open over its pauses, which is what keeps its neighbour.
func TestChaos_AnEgressServesAnAppThatPauses(t *testing.T) {
	t.Parallel()
	b := backend.Start(t, "one", nil)
	p := pillion.Start(t, "LB_ROLE=egress", "LB_DRAIN_DELAY=3s", backend.Backends(b))
	app := &asker{address: p.Address}
	defer app.Close()

	again := func(when string) {
		t.Helper()
		open := app.conn
		if r := app.Call(question{Method: http.MethodGet, Target: "/", Number: "1"}); !r.OK() {
			t.Errorf("%s: %v", when, r)
		}

		if open != nil && app.conn != open {
			t.Errorf("%s the connection was closed", when)
		}
	}
	again("before SIGTERM")
	told := time.Now()
	p.Signal(terminate)
	p.Line("about the signal", func(l binary.Line) bool { return l.String("message") == "stopping" })
	again("at once after SIGTERM")
	passes(t, 3*time.Second) // the app's pause
	again("after a pause of 3 s")
	other := &asker{address: p.Address}
	if r := other.Call(question{Method: http.MethodGet, Target: "/", Number: "2"}); !r.OK() {
		t.Errorf("on a new connection: %v", r)
	}

	other.Close()
	app.Close()
	left := time.Now()
	took := gone(t, p, told)
	t.Logf("gone %v after SIGTERM, %v after the app's last connection", took, time.Since(left))
	if alone := time.Since(left); alone < 900*time.Millisecond { // it looks fifty times a second
		t.Errorf("it ended %v after the app's last connection, want a second", alone)
	}
}

// An app that opens a connection for each call keeps its neighbour as well,
// however short its calls are.
func TestChaos_AnEgressServesAnAppThatCallsShortly(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, "LB_ROLE=egress", backend.Backends(backend.Start(t, "one", nil)))
	told := time.Now()
	p.Signal(terminate)

	for i := range 5 {
		passes(t, 600*time.Millisecond) // the app's pause
		app := &asker{address: p.Address}
		if r := app.Call(question{Method: http.MethodGet, Target: "/", Number: "1"}); !r.OK() {
			t.Fatalf("call %d: %v", i+1, r)
		}
		app.Close()
	}

	gone(t, p, told)
}

func TestChaos_AnEgressLeavesInTimeWhenTheAppStays(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, "LB_ROLE=egress", backend.Backends(backend.Start(t, "one", nil)))
	app := wire.Dial(t, p.Address)
	app.Get("/")
	app.Response("GET")
	told := time.Now()
	p.Signal(terminate)
	if rest, _ := app.Rest(); rest != "" {
		t.Errorf("the idle connection ended with %q", rest)
	}

	t.Logf("gone after %v", gone(t, p, told))
}

func TestChaos_AnEgressServesAnAppThatPausesOverHTTP2(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, "LB_ROLE=egress", backend.Backends(backend.Start(t, "one", nil)))
	app := newH2CClient(t)
	wantStatus(t, get(t, app, p.URL("/")), http.StatusOK)
	told := time.Now()
	p.Signal(terminate)
	passes(t, 3*time.Second) // the app's pause
	wantStatus(t, get(t, app, p.URL("/")), http.StatusOK)
	app.CloseIdleConnections()
	t.Logf("gone after %v", gone(t, p, told))
}

func TestChaos_SIGTERMCompletesRequestsOverHTTP2(t *testing.T) {
	t.Parallel()
	const n = 100
	b := deliberate(t, 3*time.Second)
	p := pillion.Start(t, b.Environment(), "LB_DRAIN_DELAY=3s")
	client := newH2CClient(t)

	failures := make(chan error, n)
	for range n {
		go func() {
			r, _ := http.NewRequest(http.MethodGet, p.URL("/"), nil)
			a, err := exchange(client, r)
			if err == nil && a.Text != "done" {
				err = fmt.Errorf("status %d %q", a.StatusCode, a.Text)
			}
			failures <- err
		}()
	}

	await.Until(t, "all requests have arrived", func() bool { return b.Requests.Len() == n })
	told := time.Now()
	p.Signal(terminate)
	for range n {
		if err := soon(t, "an answer", failures); err != nil {
			t.Error(err)
		}
	}

	t.Logf("gone after %v", gone(t, p, told))
}

// A WebSocket that sends all the time gets its close frame too, between two
// frames and never inside one.
func TestChaos_SIGTERMEndsABusyWebSocketAtABorder(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"small messages": 999, "large messages": 60_000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			frame := string([]byte{0x82, 126, byte(size >> 8), byte(size)}) + strings.Repeat("x", size)
			raw := backend.StartRaw(t, "one", func(c *backend.Conn) {
				r, err := c.ReadRequest()
				if err != nil {
					return
				}

				_, _ = io.WriteString(c, switching(r))
				for err == nil {
					_, err = io.WriteString(c, frame)
				}
			})
			p := pillion.Start(t, raw.Environment())
			c := wire.Dial(t, p.Address)
			c.Send(wire.Request("GET", "/", "", handshake...))
			c.Head()
			c.Expect(frame)
			told := time.Now()
			p.Signal(terminate)

			for {
				head := make([]byte, 4)
				if _, err := io.ReadFull(c.In, head); err != nil {
					t.Fatalf("the tunnel ended without a close frame: %v", err)
				}

				if head[0] == 0x88 {
					if head[1] != 2 || head[2] != 0x03 || head[3] != 0xe9 {
						t.Errorf("the close frame begins with %x", head)
					}
					break
				}

				if string(head) != frame[:4] {
					t.Fatalf("a frame begins with %x", head)
				}
				if n, err := c.In.Discard(size); err != nil {
					t.Fatalf("the tunnel ended %d bytes into a message of %d: %v", n, size, err)
				}
			}

			t.Logf("gone after %v", gone(t, p, told))
		})
	}
}
