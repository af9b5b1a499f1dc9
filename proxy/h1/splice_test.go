package h1

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestUpload_BytesLostInASpliceEndTheConnection: a backend answers while the
// body is on its way through a pipe, and bytes of it are lost there. What the
// client sends next must not be taken for the rest of that body, nor the rest
// of that for a request. How much the kernel takes is its own affair, so this
// tries many lengths around it.
func TestUpload_BytesLostInASpliceEndTheConnection(t *testing.T) {
	t.Parallel()
	const inside = "GET /inside HTTP/1.1\r\nHost: x\r\n\r\n"
	addr, _ := through(t, backend(t, func(_ int, c *client) {
		c.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		if strings.HasPrefix(c.head(), "GET /inside") {
			c.t.Error("a body was taken for a request")
		}

		time.Sleep(50 * time.Millisecond) // for the kernel to take what it can
		io.WriteString(c, ok)
		time.Sleep(20 * time.Millisecond) // or the reset would overtake the answer
	}))

	second := fmt.Sprintf("POST /second HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", 40_000*len(inside),
		strings.Repeat(inside, 40_000))
	for size := 300_000; size < 6_000_000; size += 150_000 {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			k := dial(t, addr)
			go io.WriteString(k, fmt.Sprintf("POST /first HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s%s", size,
				strings.Repeat("a", size), second))
			if resp, err := http.ReadResponse(k.r, nil); err == nil {
				io.Copy(io.Discard, resp.Body)
			}

			if resp, err := http.ReadResponse(k.r, nil); err == nil && resp.StatusCode == http.StatusBadRequest {
				t.Errorf("the next request was answered with %d", resp.StatusCode)
			}
		})
	}
}
