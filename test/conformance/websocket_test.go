package conformance

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// frame is one WebSocket frame as a client sends it (RFC 6455 section 5.2).
func frame(final bool, opcode byte, payload string) []byte {
	b := []byte{opcode, 0x80}
	if final {
		b[0] |= 0x80
	}

	switch n := len(payload); {
	case n < 126:
		b[1] |= byte(n)
	case n < 1<<16:
		b[1] |= 126
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b[1] |= 127
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}

	mask := [4]byte{0x5a, 0xa5, 0x0f, 0xf0}
	b = append(b, mask[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}

	return b
}

const (
	continuation, textual, binaryData = 0x0, 0x1, 0x2
	closing, ping, pong               = 0x8, 0x9, 0xa
)

// conversations are the bytes that clients send. A tunnel carries every byte
// unchanged, also those that a WebSocket endpoint would refuse.
func conversations() map[string][]byte {
	all := map[string][]byte{}
	for _, n := range []int{0, 1, 125, 126, 127, 128, 65535, 65536, 65537, 1 << 20} {
		payload := strings.Repeat("x", n)
		half := n / 2
		all[fmt.Sprintf("text of %d bytes", n)] = frame(true, textual, payload)
		all[fmt.Sprintf("binary of %d bytes", n)] = frame(true, binaryData, payload)
		all[fmt.Sprintf("fragments of %d bytes", n)] = bytes.Join([][]byte{
			frame(false, textual, payload[:half]), frame(false, continuation, ""), frame(true, continuation, payload[half:]),
		}, nil)
		all[fmt.Sprintf("ping between fragments of %d bytes", n)] = bytes.Join([][]byte{
			frame(false, binaryData, payload[:half]), frame(true, ping, "between"), frame(true, continuation, payload[half:]),
		}, nil)
	}

	for _, n := range []int{0, 1, 125} {
		all[fmt.Sprintf("ping of %d bytes", n)] = frame(true, ping, strings.Repeat("p", n))
		all[fmt.Sprintf("unasked pong of %d bytes", n)] = frame(true, pong, strings.Repeat("p", n))
	}

	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 4999} {
		all[fmt.Sprintf("close with %d", code)] = frame(true, closing, string([]byte{byte(code >> 8), byte(code)})+"why")
	}

	all["close without a code"] = frame(true, closing, "")
	all["text that is not UTF-8"] = frame(true, textual, "\xff\xfe")
	all["text in four languages"] = frame(true, textual, "grüß dich, 你好, привет, γειά")
	for opcode := byte(3); opcode < 16; opcode++ {
		if opcode < closing || opcode > pong {
			all[fmt.Sprintf("reserved opcode %d", opcode)] = frame(true, opcode, "reserved")
		}
	}

	reserved := frame(true, textual, "compressed, says an extension")
	reserved[0] |= 0x40
	all["a reserved bit"] = reserved
	all["a hundred messages at once"] = bytes.Repeat(frame(true, textual, "one of a hundred"), 100)

	return all
}

// startTunnel returns a client's connection after the handshake, with a backend
// that sends every byte back.
func startTunnel(t *testing.T, address string) *wire.Conn {
	t.Helper()
	c := wire.Dial(t, address)
	c.Get("/socket", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
	if head := c.Head(); !strings.HasPrefix(head, "HTTP/1.1 101 ") ||
		!strings.Contains(head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") {
		t.Fatalf("the handshake's answer is %q", head)
	}

	return c
}

func accept(c *backend.Conn) error {
	r, err := c.ReadRequest()
	if err != nil {
		return err
	}

	sum := sha1.Sum([]byte(strings.Join(r.Fields("Sec-WebSocket-Key"), "") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	_, err = io.WriteString(c,
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "+
			base64.StdEncoding.EncodeToString(sum[:])+"\r\n\r\n")
	return err
}

func TestWebSocket_EveryByteOfEveryConversationComesBack(t *testing.T) {
	t.Parallel()
	echo := backend.StartRaw(t, "one", func(c *backend.Conn) {
		if accept(c) == nil {
			_, _ = io.Copy(c, c.In)
		}
	})

	p := pillion.Start(t, echo.Environment())
	for name, said := range conversations() {
		for _, piece := range []int{1, 7, 4096, len(said)} {
			if piece > len(said) || len(said)/piece > 1<<10 {
				continue // a million writes prove no more than a thousand
			}

			t.Run(fmt.Sprintf("%s in pieces of %d", name, piece), func(t *testing.T) {
				t.Parallel()
				c := startTunnel(t, p.Address)
				go say(c, said, piece)
				c.Expect(string(said))
			})
		}
	}
}

// say writes in pieces. The reader notices missing bytes.
func say(c net.Conn, said []byte, piece int) {
	for len(said) > 0 {
		n := min(piece, len(said))
		if _, err := c.Write(said[:n]); err != nil {
			return
		}
		said = said[n:]
	}
}

// ended is how soon the end of one side has to reach the other.
const ended = 100 * time.Millisecond

func TestWebSocket_TheEndOfOneSideReachesTheOther(t *testing.T) {
	// not parallel, because the limit is a few milliseconds
	gone := make(chan time.Time, 1)
	leave := make(chan time.Time, 1)
	b := backend.StartRaw(t, "one", func(c *backend.Conn) {
		if accept(c) != nil {
			return
		}

		if line, _ := c.In.ReadString('\n'); line == "leave\n" {
			leave <- time.Now()
			return
		}

		_, _ = io.Copy(io.Discard, c.In)
		gone <- time.Now()
	})

	p := pillion.Start(t, b.Environment())
	for name, end := range map[string]func(*wire.Conn){"FIN": func(c *wire.Conn) { c.Close() },
		"RST": (*wire.Conn).Reset} {
		c := startTunnel(t, p.Address)
		c.Send("stay\n")
		began := time.Now()
		end(c)

		select {
		case at := <-gone:
			if at.Sub(began) > ended {
				t.Errorf("a client's %s reached the backend after %v", name, at.Sub(began))
			}
		case <-time.After(10 * time.Second):
			t.Errorf("a client's %s never reached the backend", name)
		}
	}

	c := startTunnel(t, p.Address)
	c.Send("leave\n")
	_, _ = c.Rest()
	if took := time.Since(<-leave); took > ended {
		t.Errorf("the backend's end reached the client after %v", took)
	}
}
