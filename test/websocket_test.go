package test

import (
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// handshake holds the fields of a WebSocket request (RFC 6455 section 4.1).
var handshake = []string{
	"Connection: keep-alive, Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
}

// switching returns the answer to a handshake.
func switching(r backend.Request) string {
	sum := sha1.Sum([]byte(strings.Join(r.Fields("Sec-WebSocket-Key"), "") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n"
}

// text returns a WebSocket text frame of fewer than 126 bytes. Frames of
// clients are masked, here with zeros.
func text(s string, masked bool) string {
	if masked {
		return string([]byte{0x81, 0x80 | byte(len(s)), 0, 0, 0, 0}) + s
	}
	return string([]byte{0x81, byte(len(s))}) + s
}

// echo starts a backend that sends a greeting together with its handshake, and
// then sends every byte back.
func echo(t *testing.T, greeting string) *backend.Raw {
	t.Helper()
	return backend.StartRaw(t, "one", func(c *backend.Conn) {
		r, err := c.ReadRequest()
		if err != nil || len(r.Fields("Upgrade")) == 0 {
			_, _ = io.WriteString(c, backend.Answer(426, "websocket only"))
			return
		}

		_, _ = io.WriteString(c, switching(r)+greeting)
		_, _ = io.Copy(c, c.In)
	})
}

func TestWebSocket_BytesGluedToTheHandshakeArriveInBothDirections(t *testing.T) {
	t.Parallel()
	hello, first := text("hello", false), text("first", true)
	p := pillion.Start(t, affine, echo(t, hello).Environment())
	c := wire.Dial(t, p.Address)
	c.Send(wire.Request("GET", "/socket", "", handshake...) + first)
	head := c.Head()
	if !strings.HasPrefix(head, "HTTP/1.1 101 ") ||
		!strings.Contains(strings.ToLower(head), "\r\nupgrade: websocket\r\n") ||
		!strings.Contains(head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") ||
		!strings.Contains(strings.ToLower(head), "\r\nconnection: upgrade\r\n") {
		t.Fatalf("the handshake's answer is %q", head)
	}

	c.Expect(hello + first)
	second := text(strings.Repeat("x", 100), true)
	c.Send(second)
	c.Expect(second)
}

func TestWebSocket_NoClientByteGoesBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	early := make(chan string, 1)
	raw := backend.StartRaw(t, "one", func(c *backend.Conn) {
		if _, err := c.ReadRequest(); err != nil {
			return
		}

		_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		more, _ := io.ReadAll(c.In)
		early <- string(more)
		_, _ = io.WriteString(c, backend.Answer(403, "no"))
	})
	p := pillion.Start(t, raw.Environment())
	c := wire.Dial(t, p.Address)
	c.Send(wire.Request("GET", "/", "", handshake...) + text("smuggled", true))
	if r, _ := c.Response("GET"); r.StatusCode != http.StatusForbidden {
		t.Errorf("status %d, want the backend's 403", r.StatusCode)
	}

	if got := soon(t, "the backend's reading", early); got != "" {
		t.Errorf("before its answer the backend read %q", got)
	}
}

func TestWebSocket_LargeMessagesPassUnchanged(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, echo(t, "").Environment())
	c := wire.Dial(t, p.Address)
	c.Send(wire.Request("GET", "/", "", handshake...))
	c.Head()
	const size = 1 << 20
	frame := "\x82\xff\x00\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00" + strings.Repeat("0123456789abcdef", size/16)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.WriteString(c.Conn, frame)
	}()
	c.Expect(frame)
	soon(t, "the end of the message", sent)
}

func TestWebSocket_EachSidesEndReachesTheOther(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{}, 1)
	raw := backend.StartRaw(t, "one", func(c *backend.Conn) {
		r, err := c.ReadRequest()
		if err != nil {
			return
		}

		_, _ = io.WriteString(c, switching(r))
		if strings.HasPrefix(r.Head, "GET /backend") {
			return
		}

		_, _ = io.Copy(io.Discard, c.In)
		ended <- struct{}{}
	})
	p := pillion.Start(t, raw.Environment())
	c := wire.Dial(t, p.Address)
	c.Send(wire.Request("GET", "/backend", "", handshake...))
	c.Head()
	if rest, _ := c.Rest(); rest != "" {
		t.Errorf("after the backend's end came %q", rest)
	}

	c = wire.Dial(t, p.Address)
	c.Send(wire.Request("GET", "/client", "", handshake...))
	c.Head()
	_ = c.Close()
	soon(t, "the client's end", ended)
}

// A side's last bytes and its end may come at once, without a close frame: a
// process was killed, or a server closes like that. While the process is
// stopped, both come for certain before it looks.
func TestWebSocket_AnEndRightBehindTheLastFrameIsNoticed(t *testing.T) {
	t.Parallel()
	const last = 3
	frame := text("bye", false)
	for _, fromClient := range []bool{true, false} {
		for how, end := range map[string]func(net.Conn){
			"end":   func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite() },
			"reset": func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); _ = c.Close() },
		} {
			t.Run(fmt.Sprintf("%s, client %t", how, fromClient), func(t *testing.T) {
				t.Parallel()
				backends := make(chan *backend.Conn)
				tested := make(chan struct{})
				defer close(tested)
				p := pillion.Start(t, backend.StartRaw(t, "one", func(c *backend.Conn) {
					r, err := c.ReadRequest()
					if err != nil {
						return
					}
					_, _ = io.WriteString(c, switching(r))
					backends <- c
					<-tested
				}).Environment())

				client := wire.Dial(t, p.Address)
				client.Send(wire.Request("GET", "/", "", handshake...))
				client.Head()
				b := soon(t, "the backend's connection", backends)

				from, to, in := client.Conn, b.Conn, io.Reader(b.In)
				if !fromClient {
					from, to, in = b.Conn, client.Conn, client
				}
				for range last {
					relayed(t, from, in, frame)
				}

				p.Signal(syscall.SIGSTOP)
				_, _ = io.WriteString(from, frame)
				end(from)
				p.Signal(syscall.SIGCONT)

				_ = to.SetReadDeadline(time.Now().Add(await.Limit))
				if rest, err := io.ReadAll(in); how == "end" && (err != nil || string(rest) != frame) {
					t.Errorf("the other side got %q, %v", rest, err)
				} else if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("the other side does not learn of the end")
				}
			})
		}
	}
}

// relayed sends bytes through a tunnel.
func relayed(t *testing.T, from io.Writer, to io.Reader, bytes string) {
	t.Helper()
	_, _ = io.WriteString(from, bytes)
	got := make([]byte, len(bytes))
	if _, err := io.ReadFull(to, got); err != nil || string(got) != bytes {
		t.Fatalf("got %q, %v", got, err)
	}
}

func TestWebSocket_KeepsItsSession(t *testing.T) {
	t.Parallel()
	var targets []string
	for _, name := range []string{"one", "two", "three", "four"} {
		b := backend.StartScript(t, name, func(r backend.Request) string {
			if len(r.Fields("Upgrade")) > 0 {
				return switching(r) + text(name, false)
			}
			return backend.Answer(200, name, backend.NameField+": "+name)
		})
		targets = append(targets, b.Target())
	}

	p := pillion.Start(t, affine, "LB_BACKENDS="+strings.Join(targets, ";"))
	s := newSession(t, newClient(t), p.URL("/"))
	for range 10 {
		c := wire.Dial(t, p.Address)
		c.Send(wire.Request("GET", "/", "", append([]string{"Cookie: " + s.Cookie()}, handshake...)...))
		c.Head()
		c.Expect(text(s.Backend, false))
	}
}

func TestWebSocket_OtherUpgradesAreNotTunnelled(t *testing.T) {
	t.Parallel()
	p, raw := recorded(t, nil)
	for _, protocol := range []string{"h2c", "TLS/1.0", "foo", "connect-udp"} {
		seen, _ := pass(t, p, raw, "Connection: Upgrade, HTTP2-Settings", "Upgrade: "+protocol, "HTTP2-Settings: AAMAAABk")
		wantFields(t, seen, map[string][]string{"Upgrade": nil, "Http2-Settings": nil})
	}

	lying := backend.StartScript(t, "lying", func(backend.Request) string {
		return "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	})
	p = pillion.Start(t, append(calm, lying.Environment())...)
	wantStatus(t, get(t, newClient(t), p.URL("/")), http.StatusBadGateway)
}

func TestWebSocket_AskingABackendOfHTTP2ForOneDoesNotEjectIt(t *testing.T) {
	t.Parallel()
	var targets []string
	for _, name := range []string{"a", "b"} {
		raw := backend.StartRaw(t, name, func(c *backend.Conn) {
			_, _ = c.ReadRequest()
			// an empty SETTINGS frame
			_, _ = io.WriteString(c, "\x00\x00\x00\x04\x00\x00\x00\x00\x00")
		})
		targets = append(targets, backend.Target("h2c://"+raw.Address, name))
	}

	p := pillion.Start(t, "LB_BACKENDS="+strings.Join(targets, ";"), "LB_EJECT_ERRORS=2")
	for range 20 {
		c := wire.Dial(t, p.Address)
		c.Get("/", handshake...)
		if r, _ := c.Response("GET"); r.StatusCode != http.StatusBadGateway {
			t.Fatalf("status %d", r.StatusCode)
		}
	}

	if n := count(p, saying("backend ejected", "")); n > 0 {
		t.Errorf("%d ejections", n)
	}
}

// When the process stops, a tunnel ends with a close frame of status 1001.
func TestWebSocket_EndsWith1001WhenTheProcessStops(t *testing.T) {
	t.Parallel()
	frames := make(chan string, 1)
	raw := backend.StartRaw(t, "one", func(c *backend.Conn) {
		r, err := c.ReadRequest()
		if err != nil {
			return
		}

		_, _ = io.WriteString(c, switching(r)+text("hello", false))
		all, _ := io.ReadAll(c.In)
		frames <- string(all)
	})
	p := pillion.Start(t, raw.Environment(), "LB_DRAIN_TIMEOUT=2s")
	c := wire.Dial(t, p.Address)
	c.Send(wire.Request("GET", "/", "", handshake...) + text("x", true))
	c.Head()
	c.Expect(text("hello", false))
	p.Signal(terminate)
	rest, _ := c.Rest()
	if !strings.HasPrefix(rest, "\x88") || len(rest) < 4 || rest[2:4] != "\x03\xe9" {
		t.Errorf("the tunnel ended with %q, want a close frame of 1001", rest)
	}

	if got := soon(t, "the backend's end", frames); !strings.HasPrefix(got, text("x", true)+"\x88\x82") {
		t.Errorf("the backend read %q, want the message and a masked close frame", got)
	}
	if code := p.Wait(10 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
