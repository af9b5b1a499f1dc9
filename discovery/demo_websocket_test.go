package discovery

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/pillion-lb/pillion/config"
)

// maskedFrame is a client's frame.
func maskedFrame(first byte, payload []byte) []byte {
	frame := []byte{first}
	if len(payload) < 126 {
		frame = append(frame, 0x80|byte(len(payload)))
	} else {
		frame = binary.BigEndian.AppendUint16(append(frame, 0x80|126), uint16(len(payload)))
	}
	mask := []byte{1, 2, 3, 4}
	frame = append(frame, mask...)
	for i, c := range payload {
		frame = append(frame, c^mask[i&3])
	}
	return frame
}

// serverFrame reads an unmasked frame.
func serverFrame(t *testing.T, r *bufio.Reader) (byte, string) {
	t.Helper()
	head := make([]byte, 2)
	if _, err := io.ReadFull(r, head); err != nil {
		t.Fatal(err)
	}
	n := int(head[1])
	if n == 126 {
		long := make([]byte, 2)
		io.ReadFull(r, long)
		n = int(binary.BigEndian.Uint16(long))
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		t.Fatal(err)
	}
	return head[0], string(payload)
}

func TestDemo_WebSocketRepeatsFrames(t *testing.T) {
	t.Parallel()
	set := <-run(t, &config.Config{}, Options{}, "demo://1")
	conn, err := net.Dial("tcp", set.Backends[0].Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The key and its answer are the example of RFC 6455, section 1.3.
	if res.StatusCode != 101 || res.Header.Get("Sec-Websocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("got %d %v", res.StatusCode, res.Header)
	}
	if first, text := serverFrame(t, r); first != 0x81 || text != "demo-1" {
		t.Errorf("greeted with %x %q", first, text)
	}
	long := string(bytes.Repeat([]byte("x"), 300))
	conn.Write(maskedFrame(0x81, []byte("hello")))
	conn.Write(maskedFrame(0x82, []byte(long)))
	conn.Write(maskedFrame(0x89, []byte("ping")))
	conn.Write(maskedFrame(0x88, []byte{3, 232}))
	for _, want := range []struct {
		first byte
		text  string
	}{{0x81, "hello"}, {0x82, long}, {0x8a, "ping"}, {0x88, "\x03\xe8"}} {
		if first, text := serverFrame(t, r); first != want.first || text != want.text {
			t.Errorf("got %x %q, want %x %q", first, text, want.first, want.text)
		}
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("after the close: %v", err)
	}
}

func TestDemo_SpeaksH2C(t *testing.T) {
	t.Parallel()
	set := <-run(t, &config.Config{}, Options{}, "demo://1")
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(context.Background(), "GET", "http://"+set.Backends[0].Address, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.ProtoMajor != 2 || res.Header.Get("X-Backend") != "demo-1" {
		t.Errorf("got %s %v", res.Proto, res.Header)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add(maskedFrame(0x81, []byte("hello")))
	f.Add([]byte{0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add(maskedFrame(0x82, bytes.Repeat([]byte{7}, 126)))
	f.Add(maskedFrame(0x89, nil))
	f.Add(maskedFrame(0x88, []byte{0x03, 0xe9}))
	f.Add(maskedFrame(0x01, []byte("half a message")))
	f.Add([]byte{0x81, 0x02, 'h', 'i'}) // a client that does not mask
	f.Fuzz(func(t *testing.T, b []byte) {
		_, payload, err := readFrame(bufio.NewReader(bytes.NewReader(b)))
		if err == nil && len(payload) > len(b) {
			t.Errorf("%d bytes out of %d", len(payload), len(b))
		}
	})
}
