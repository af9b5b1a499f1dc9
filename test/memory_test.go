//go:build linux

package test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// patient starts a backend that answers at once, with three exceptions: /hang
// reads a body and never answers, /big answers with 1 MiB, and /ws is a
// WebSocket that stays silent.
func patient(t *testing.T) *backend.Raw {
	return backend.StartRaw(t, "patient", func(c *backend.Conn) {
		for {
			head, err := c.ReadHead()
			if err != nil {
				return
			}

			_, target, _ := strings.Cut(head, " ")
			switch target, _, _ = strings.Cut(target, " "); target {
			case "/hang":
				_, _ = io.Copy(io.Discard, c.In)
				return
			case "/big":
				_, _ = io.WriteString(c, backend.Answer(200, strings.Repeat("z", 1<<20)))
			case "/ws":
				_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
				_, _ = io.Copy(io.Discard, c.In)
				return
			default:
				_, _ = io.WriteString(c, backend.Answer(200, "ok"))
			}
		}
	})
}

// abuses are the bytes of clients that then keep the connection open, and
// neither read nor send anything more.
var abuses = map[string]string{
	"silent":      "",
	"half head":   "GET / HTTP/1.1\r\nHost: x\r\nA: b",
	"long head":   "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-A: "+strings.Repeat("a", 1000)+"\r\n", 62) + "A: b",
	"idle":        wire.Request("GET", "/", ""),
	"stuck body":  wire.Request("POST", "/hang", "abc", "Content-Length: 1000000"),
	"stuck chunk": wire.Request("POST", "/hang", "5\r\nab", "Transfer-Encoding: chunked"),
	"kept body":   wire.Request("PUT", "/hang", strings.Repeat("z", 65000), "Content-Length: 65536"),
	"slow reader": wire.Request("GET", "/big", ""),
	"websocket": wire.Request("GET", "/ws", "", "Connection: Upgrade", "Upgrade: websocket",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="),
	"half frame": halfFrame + strings.Repeat("z", 100),
	"long frame": halfFrame + strings.Repeat("z", 16<<10-1),
}

// halfFrame is the beginning of an HTTP/2 connection, up to the header of a
// HEADERS frame of 16 KiB.
const halfFrame = http2.ClientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x40\x00\x01\x04\x00\x00\x00\x01"

// abuse opens a connection, sends the bytes, and leaves it open.
func abuse(t *testing.T, address, bytes string) {
	conn, err := net.DialTimeout("tcp", address, await.Limit)
	if err != nil {
		return
	}

	t.Cleanup(func() { conn.Close() })
	_ = conn.(*net.TCPConn).SetReadBuffer(2048)
	_ = conn.SetWriteDeadline(time.Now().Add(await.Limit))
	_, _ = io.WriteString(conn, bytes)
}

// peak returns the peak resident memory of a process in bytes.
func peak(t *testing.T, pid int) int64 {
	t.Helper()
	return memoryOf(t, pid, "VmHWM:")
}

// resident returns the current resident memory of a process in bytes.
func resident(t *testing.T, pid int) int64 {
	t.Helper()
	return memoryOf(t, pid, "VmRSS:")
}

// memoryOf returns a memory figure of a process in bytes, by its name in
// proc_pid_status(5).
func memoryOf(t *testing.T, pid int, name string) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("no /proc: ", err)
	}

	_, rest, _ := strings.Cut(string(status), name)
	return number(strings.TrimSpace(rest)) << 10
}

// ordinary makes an ordinary request on a new connection. It must succeed.
func ordinary(t *testing.T, p *binary.Process) {
	t.Helper()
	c := wire.Dial(t, p.Address)
	defer c.Close()
	c.Get("/", "Connection: close")
	if r, body := c.Response("GET"); r.StatusCode != http.StatusOK || body != "ok" {
		t.Fatalf("an ordinary client got %d %q", r.StatusCode, body)
	}
}

// withstands opens many connections of some kinds to a process with a container
// limit of 64 MiB. The process must stay within the limit, and ordinary clients
// must be served during and after that.
func withstands(t *testing.T, connections int, kinds ...string) *binary.Process {
	t.Helper()
	p := pillion.Start(t, patient(t).Environment(), "GOMEMLIMIT=57MiB", "LB_STATUS_TOKEN="+watchword,
		"LB_EJECT_ERRORS=0", "LB_EJECT_RATE=0")
	for i := range connections {
		abuse(t, p.Address, abuses[kinds[i%len(kinds)]])
		if i%100 == 99 {
			ordinary(t, p)
		}
	}

	for range 20 {
		ordinary(t, p)
	}
	if most := peak(t, p.PID()); most > 64<<20 && !binary.Race {
		t.Errorf("it took %d MiB", most>>20)
	}

	return p
}

// Memory pages of the program's file that only the start needed are released.
func TestMemory_AnIdleProcessIsSmall(t *testing.T) {
	if binary.Race {
		t.Skip("the race detector has memory of its own")
	}

	p := pillion.Start(t, backend.Backends(backend.Start(t, "one", nil)))
	for range 20 {
		wantStatus(t, get(t, newClient(t), p.URL("/")), http.StatusOK)
	}
	await.Until(t, "it holds less than 16 MiB", func() bool { return resident(t, p.PID()) < 16<<20 })
}

func TestMemory_AbuseOfEachKindIsWithstood(t *testing.T) {
	for kind := range abuses {
		t.Run(kind, func(t *testing.T) { withstands(t, 2000, kind) })
	}
}

func TestMemory_AbuseOfAllKindsAtOnceIsWithstood(t *testing.T) {
	var kinds []string
	for kind := range abuses {
		kinds = append(kinds, kind)
	}

	p := withstands(t, 3000, kinds...)

	text := metricsText(t, p.URL(""))
	if sum(text, "lb_shed_total") == 0 || sum(text, "lb_memory_taken_bytes") == 0 ||
		sum(text, "lb_memory_budget_bytes") == 0 {
		t.Error("the metrics do not tell what was shed")
	}

	last := time.Time{}
	for _, l := range p.Lines() {
		if !strings.HasPrefix(l.String("message"), "load was shed") {
			continue
		}

		now, err := time.Parse(time.RFC3339Nano, l.String("time"))
		if err != nil {
			t.Fatal(err)
		}
		if now.Sub(last) < 900*time.Millisecond {
			t.Errorf("load that was shed is told of more than once a second: %v, %v", last, now)
		}

		last = now
	}

	if last.IsZero() {
		t.Error("the log does not tell what was shed")
	}
}

// limited runs the program with a limit of descriptors.
func limited(t *testing.T, descriptors int) *binary.Binary {
	t.Helper()
	script := filepath.Join(t.TempDir(), "limited")
	text := fmt.Sprintf("#!/bin/sh\nulimit -n %d\nexec '%s' \"$@\"\n", descriptors, pillion.Path)

	// Another test's child would inherit the file while it is written, and a
	// file that is open for writing can't be run.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}

	return &binary.Binary{Path: script}
}

func TestMemory_DescriptorsAreKeptForBackends(t *testing.T) {
	t.Parallel()
	for kind, bytes := range map[string]string{
		"silent":     abuses["silent"],
		"half head":  abuses["half head"],
		"idle":       abuses["idle"],
		"stuck body": abuses["stuck body"],
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := limited(t, 300).Start(t, patient(t).Environment(), "LB_STATUS_TOKEN="+watchword, "LB_IDLE_CONN_TIMEOUT=100ms")
			limits := p.Line("the limits", func(l binary.Line) bool { return l.String("message") == "limits" })
			if limits.Fields["connections"] != 180.0 || limits.Fields["descriptors"] != 300.0 {
				t.Errorf("the limits are said to be %v", limits.Fields)
			}

			for range 400 {
				abuse(t, p.Address, bytes)
			}

			// A connection of the last 200 ms is not ended for another one, so the
			// first of the others may be refused.
			await.Until(t, "all others are served again", func() bool {
				for range 50 {
					if !asks(p) {
						return false
					}
				}
				return true
			})

			for _, l := range p.Lines() {
				if l.String("message") == "backend ejected" {
					t.Fatal("a backend was ejected for our own lack of descriptors")
				}
			}
		})
	}
}

// A client that is connected already is served although all descriptors are
// taken: for the connection to its backend, those end that ask for nothing.
func TestMemory_ADescriptorForABackendIsMadeFree(t *testing.T) {
	t.Parallel()
	for name, fill := range map[string]string{
		"http":            abuses["half head"],
		"h2c":             abuses["half head"],
		"http, after use": wire.Request("GET", "/.lb/started", ""),
		"h2c, after use":  wire.Request("GET", "/.lb/started", ""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scheme, _, _ := strings.Cut(name, ",")
			app := backend.Start(t, "one", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
			const most = 64
			p := limited(t, most).Start(t, "LB_BACKENDS="+scheme+"://"+app.Address, "LB_MAX_CONNECTIONS=1000",
				"LB_HEADER_TIMEOUT=1m", "LB_RETRIES=0", "GOMEMLIMIT=57MiB")

			c := wire.Dial(t, p.Address)
			c.Get("/.lb/started")
			c.Response("GET")

			await.Until(t, "all descriptors are taken", func() bool {
				abuse(t, p.Address, fill)
				return descriptors(t, p, most) == most
			})

			c.Get("/")
			if r, body := c.Response("GET"); r.StatusCode != http.StatusOK || body != "ok" {
				t.Errorf("the client got %d %q", r.StatusCode, body)
			}
		})
	}
}

// The kernel reports a lack of descriptors also if there is no client. A full
// table ends nobody until somebody comes. Under TLS the same is held by
// TestWaitingListener in package socket.
func TestMemory_AFullTableEndsNobodyUntilSomebodyComes(t *testing.T) {
	t.Parallel()
	const most = 64
	p := limited(t, most).Start(t, patient(t).Environment(), "LB_MAX_CONNECTIONS=1000", "LB_HEADER_TIMEOUT=1m")
	free := func() bool { return descriptors(t, p, most) < most }

	// A descriptor of the start, or of a file that is read, may go at the same
	// time. Then the table is filled up again.
	for range 5 {
		for n := descriptors(t, p, most); n < most; n = descriptors(t, p, most) {
			abuse(t, p.Address, abuses["half head"])
			await.Within(2*time.Second, func() bool { return descriptors(t, p, most) > n })
		}
		// One too many is served within a second, in place of another.
		if !await.Within(1200*time.Millisecond, free) {
			break
		}
	}

	// Without a request, 200 ms are enough to be ended for somebody else.
	if await.Within(1500*time.Millisecond, free) {
		t.Error("a connection was ended although nobody came")
	}

	await.Until(t, "somebody is served", func() bool { return asks(p) })
}

// descriptors returns how many descriptors below a limit a process has. One
// that it has inherited may be above.
func descriptors(t *testing.T, p *binary.Process, limit int) (count int) {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID()))
	if err != nil {
		t.Skip("no /proc: ", err)
	}

	for _, f := range files {
		if n, err := strconv.Atoi(f.Name()); err == nil && n < limit {
			count++
		}
	}

	return count
}

// asks reports whether an ordinary client is served.
func asks(p *binary.Process) bool {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: await.Limit}
	response, err := client.Get(p.URL("/"))
	if err != nil {
		return false
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)

	return err == nil && response.StatusCode == http.StatusOK && string(body) == "ok"
}

func TestMemory_DefaultsAreExplained(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]string{
		"GOMEMLIMIT=57MiB":        "LB_MAX_CONNECTIONS = 600  [default]",
		"GOMEMLIMIT=20MiB":        "LB_MAX_CONNECTIONS = 426  [default]",
		"LB_MAX_CONNECTIONS=7000": "LB_MAX_CONNECTIONS = 7000  [environment]",
	} {
		out := limited(t, 1000).Run(t, []string{"LB_BACKENDS=demo://1", setting}, "explain").Output()
		if !strings.Contains(out, want) {
			t.Errorf("%s: explain does not say %q", setting, want)
		}
	}
}

func TestMemory_AStalledUploadHoldsNoPipe(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, patient(t).Environment())
	const uploads, idle = 100, 32
	for range uploads {
		c := wire.Dial(t, p.Address)
		c.Send(wire.Request("POST", "/hang", strings.Repeat("z", 100<<10), "Content-Length: 1000000"))
	}

	sockets := func() (sockets, pipes int) {
		files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID()))
		if err != nil {
			t.Fatal(err)
		}

		for _, f := range files {
			link, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", p.PID(), f.Name()))
			switch {
			case strings.HasPrefix(link, "socket:"):
				sockets++
			case strings.HasPrefix(link, "pipe:"):
				pipes++
			}
		}

		return sockets, pipes
	}
	await.Until(t, "the uploads reach the backend", func() bool { n, _ := sockets(); return n >= 2*uploads })
	await.Until(t, "few pipes are held", func() bool { _, n := sockets(); return n <= 2*idle })
}

func TestMemory_ACookieBombCostsNothing(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"__lb_affinity", "lb"} {
		p := pillion.Start(t, patient(t).Environment(), "LB_SESSION_AFFINITY=cookie", "LB_AFFINITY_COOKIE="+name)
		ordinary(t, p)
		before := peak(t, p.PID())

		pair := name + "=1;"
		for range 20 {
			c := wire.Dial(t, p.Address)
			c.Get("/", "Cookie: a=1; "+strings.Repeat(pair, (60<<10)/len(pair)), "Connection: close")
			if r, _ := c.Response("GET"); r.StatusCode != http.StatusOK {
				t.Fatalf("answered %d", r.StatusCode)
			}
		}

		if grown := peak(t, p.PID()) - before; grown > 24<<20 && !binary.Race {
			t.Errorf("cookies named %s: 20 requests of 60 KiB took %d MiB", name, grown>>20)
		}
	}
}

func TestLimit_ANewConnectionHasToSaySomething(t *testing.T) {
	t.Parallel()
	p, _ := recorded(t, []string{"LB_HEADER_TIMEOUT=500ms"})
	c := wire.Dial(t, p.Address)
	if rest, err := c.Rest(); rest != "" || err != nil {
		t.Errorf("a connection that said nothing ended with %q (%v)", rest, err)
	}

	// One that has said something may be idle for longer.
	c = wire.Dial(t, p.Address)
	c.Get("/")
	c.Response("GET")
	other := wire.Dial(t, p.Address)
	other.Rest()
	c.Get("/")
	if r, _ := c.Response("GET"); r.StatusCode != http.StatusOK {
		t.Errorf("answered %d", r.StatusCode)
	}
}
