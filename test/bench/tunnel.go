//go:build linux

package main

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

// frames describes the traffic of a tunnel: in place of a request the client
// sends a burst of WebSocket frames (RFC 6455 section 5.2), and in place of an
// answer the backend sends a burst of the same size when it has all of it.
type frames struct {
	Size  int // payload bytes of each frame; 0: no tunnel
	Count int // frames in a burst
}

// burst is the client's, masked, or the backend's.
func (f frames) burst(masked bool) []byte {
	var one []byte
	mask := byte(0)
	if masked {
		mask = 0x80
	}

	switch {
	case f.Size < 126:
		one = []byte{0x82, mask | byte(f.Size)}
	case f.Size < 1<<16:
		one = binary.BigEndian.AppendUint16([]byte{0x82, mask | 126}, uint16(f.Size))
	default:
		one = binary.BigEndian.AppendUint64([]byte{0x82, mask | 127}, uint64(f.Size))
	}

	if masked {
		one = append(one, 0, 0, 0, 0) // a mask of zeros is a mask
	}

	return bytes.Repeat(append(one, body(f.Size)...), f.Count)
}

// volume is the payload of one exchange in MiB, in both directions.
func (f frames) volume() float64 { return float64(2*f.Size*f.Count) / (1 << 20) }

// The example of RFC 6455 section 1.3.
const websocketKey = "dGhlIHNhbXBsZSBub25jZQ=="

// websocketAccept answers a key (RFC 6455 section 4.2.2).
func websocketAccept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// upgradeRequest asks for a tunnel in whose bursts f goes.
func upgradeRequest(host string, f frames) []byte {
	return fmt.Appendf(nil, "GET /tunnel/%d/%d HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", f.Size, f.Count, host, websocketKey)
}

// upgradeAnswer is a backend's 101.
func upgradeAnswer() []byte {
	return []byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Accept: " + websocketAccept(websocketKey) + "\r\n\r\n")
}

// parseTunnel reads the path of an upgrade.
func parseTunnel(target []byte) (f frames, ok bool) {
	size, count, _ := strings.Cut(string(target), "/")
	n, ok1 := decimal([]byte(size))
	m, ok2 := decimal([]byte(count))
	return frames{int(n), int(m)}, ok1 && ok2 && n > 0 && m > 0
}

// openTunnel makes the connection a tunnel and compares the first burst that
// comes back byte by byte.
func (l *load) openTunnel(c *clientConn) error {
	if err := sendAll(c.fd, upgradeRequest(l.host, l.spec.Frames)); err != nil {
		return err
	}

	head, err := receiveAll(c.fd, nil, func(b []byte) bool { return bytes.HasSuffix(b, blankLine) })
	if err != nil {
		return err
	}

	accept, _ := field(head, "sec-websocket-accept")
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) || string(accept) != websocketAccept(websocketKey) {
		return fmt.Errorf("no tunnel: %.200q", head)
	}

	burst, want := l.spec.Frames.burst(true), l.spec.Frames.burst(false)
	if err := sendAll(c.fd, burst); err != nil {
		return err
	}

	got, err := receiveAll(c.fd, nil, func(b []byte) bool { return len(b) >= len(want) })
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return errors.New("the frames differ from what the backend sent")
	}

	c.requests, l.answer = [][]byte{burst}, int64(len(want))
	return nil
}

// receiveAll appends received bytes to b until there are enough.
func receiveAll(fd int, b []byte, enough func([]byte) bool) ([]byte, error) {
	buf := make([]byte, 64<<10)
	for !enough(b) {
		n, err := receive(fd, buf)
		switch {
		case again(err):
			err = await(fd, unix.POLLIN)
		case err == nil && n == 0:
			err = errClosed
		}

		if err != nil {
			return b, fmt.Errorf("receive: %w", err)
		}

		b = append(b, buf[:n]...)
	}

	return b, nil
}

// echo is a backend's end of a tunnel.
type echo struct {
	length int    // of the client's bursts
	have   int    // of the one that is coming
	burst  []byte // that answers
}

// upgrade makes a backend's connection a tunnel.
func (b *rawBackend) upgrade(c *backendConn) error {
	f := c.req.frames
	c.echo = &echo{length: len(f.burst(true)), burst: f.burst(false)}
	return sendAll(c.fd, upgradeAnswer())
}

// takeFrames counts what came and answers every whole burst. A client has one
// on the way at a time.
func (b *rawBackend) takeFrames(c *backendConn) error {
	n, err := discard(c.fd, b.scratch)
	switch {
	case again(err):
		return nil
	case err != nil:
		return err
	case n == 0:
		return io.EOF
	}

	c.echo.have += n
	if c.echo.have < c.echo.length {
		return nil
	}
	if c.echo.have > c.echo.length || len(c.out) > 0 {
		return errors.New("more frames than the client sent")
	}

	c.echo.have = 0
	return b.push(c, c.echo.burst)
}
