package soak

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/pillion-lb/pillion/test/internal/await"
)

// abuser is a connection of an abusive client. Its errors are ignored, because
// the program may close it at any time.
type abuser struct {
	ctx     context.Context
	address string
	net.Conn
}

// abuses has the kinds of abuse. Each opens a connection and closes it.
var abuses = map[string]func(a *abuser){
	"trailers":       (*abuser).trailers,
	"slow reads":     (*abuser).slowReads,
	"cookie bombs":   (*abuser).cookieBomb,
	"cuts":           (*abuser).cuts,
	"endless bodies": (*abuser).endlessBody,
	"heads by bytes": (*abuser).slowHead,
	"pipelines":      (*abuser).pipelines,
	"nonsense":       (*abuser).nonsense,
	"WebSockets":     (*abuser).webSockets,
	"rapid resets":   (*abuser).rapidResets,
	"closed windows": (*abuser).closedWindows,
	"endless DATA":   (*abuser).endlessData,
	"endless fields": (*abuser).endlessFields,
	"pings":          (*abuser).pings,
}

// open connects with a small receive buffer.
func (a *abuser) open() bool {
	d := net.Dialer{Timeout: await.Limit}
	conn, err := d.DialContext(a.ctx, "tcp", a.address)
	if err != nil {
		return false
	}

	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
	a.Conn = conn

	return true
}

// end closes the connection, often by a reset.
func (a *abuser) end() {
	if rand.IntN(2) == 0 {
		_ = a.Conn.(*net.TCPConn).SetLinger(0)
	}
	_ = a.Close()
}

// say sends text, sometimes in two pieces.
func (a *abuser) say(text string) error {
	if len(text) > 1 && rand.IntN(2) == 0 {
		n := rand.IntN(len(text))
		if _, err := io.WriteString(a, text[:n]); err != nil {
			return err
		}
		text = text[n:]
	}

	_, err := io.WriteString(a, text)
	return err
}

// pause waits for d. It reports whether there is time left.
func (a *abuser) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()

	select {
	case <-a.ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// hear reads up to n bytes, for 200 ms at most.
func (a *abuser) hear(n int64) {
	_ = a.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	_, _ = io.CopyN(io.Discard, a, n)
}

// path returns a path whose answer is retried, cut, large or ordinary.
func path() string {
	return []string{"/", "/big", "/cut", "/drop", "/early", "/trailers"}[rand.IntN(6)]
}

func (a *abuser) trailers() {
	if !a.open() {
		return
	}
	defer a.end()
	for range 5 {
		_ = a.say("PUT " + path() + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-T, X-U\r\n\r\n" +
			"5\r\nhello\r\n0\r\nX-T: 1\r\nX-U: 2\r\nX-Unannounced: 3\r\n\r\n")
		a.hear(rand.Int64N(400))
	}
}

func (a *abuser) slowReads() {
	if !a.open() {
		return
	}
	defer a.end()
	_ = a.say("GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
	for range 20 {
		a.hear(100)
		if !a.pause(50 * time.Millisecond) {
			return
		}
	}
}

func (a *abuser) cookieBomb() {
	if !a.open() {
		return
	}
	defer a.end()
	bomb := strings.Repeat([]string{"a=b; ", "=; ", "__lb_x=1; ", "a; "}[rand.IntN(4)], 9000)
	_ = a.say("GET / HTTP/1.1\r\nHost: x\r\nCookie: " + bomb[:min(len(bomb), 60_000)] + "\r\n\r\n")
	a.hear(300)
}

func (a *abuser) cuts() {
	if !a.open() {
		return
	}
	defer a.end()
	size := rand.IntN(200_000)
	text := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path(), size,
		strings.Repeat("z", size))
	_ = a.say(text[:rand.IntN(len(text))])
	if rand.IntN(2) == 0 {
		_ = a.Conn.(*net.TCPConn).CloseWrite()
		a.hear(rand.Int64N(1000))
	}
}

func (a *abuser) endlessBody() {
	if !a.open() {
		return
	}
	defer a.end()
	_ = a.say("POST " + path() + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
	for range 100 {
		if a.say("1000;x=y\r\n"+strings.Repeat("z", 4096)+"\r\n") != nil || !a.pause(5*time.Millisecond) {
			return
		}
	}
}

func (a *abuser) slowHead() {
	if !a.open() {
		return
	}
	defer a.end()
	_ = a.say("GET / HTTP/1.1\r\nHost: x\r\n")
	for range 50 {
		if a.say("X: y\r\n") != nil || !a.pause(20*time.Millisecond) {
			return
		}
	}
}

func (a *abuser) pipelines() {
	if !a.open() {
		return
	}
	defer a.end()
	_ = a.say(strings.Repeat("GET "+path()+" HTTP/1.1\r\nHost: x\r\n\r\n", 20))
	a.hear(rand.Int64N(100_000))
}

func (a *abuser) nonsense() {
	if !a.open() {
		return
	}
	defer a.end()
	_ = a.say([]string{
		"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "\r\n\r\nGET", "GET / HTTP/1.1\r\n: x\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + strings.Repeat("x", 100), "\x16\x03\x01\x02\x00\x01",
		strings.Repeat("a", 70_000),
	}[rand.IntN(7)])
	a.hear(1000)
}

func (a *abuser) webSockets() {
	if !a.open() {
		return
	}
	defer a.end()
	_ = a.say("GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n\x81\x85\x00\x00\x00\x00hello")
	a.hear(rand.Int64N(200))
}

// frames opens an HTTP/2 connection whose streams have a window of that size.
func (a *abuser) frames(window uint32) (*http2.Framer, bool) {
	if !a.open() {
		return nil, false
	}

	_, _ = io.WriteString(a, http2.ClientPreface)
	f := http2.NewFramer(a, a)
	_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window})
	go func() { _, _ = io.Copy(io.Discard, a) }()

	return f, true
}

// block returns the header block of a request with further fields.
func block(method string, more ...string) []byte {
	var out bytes.Buffer
	enc := hpack.NewEncoder(&out)
	fields := append([]string{":method", method, ":scheme", "http", ":authority", "x", ":path", path()}, more...)
	for i := 0; i < len(fields); i += 2 {
		_ = enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}

	return out.Bytes()
}

func (a *abuser) rapidResets() {
	f, ok := a.frames(65535)
	if !ok {
		return
	}
	defer a.end()
	for id := uint32(1); id < 80; id += 2 {
		err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block("GET"), EndHeaders: true,
			EndStream: true})
		if err != nil || f.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
			return
		}
	}
}

func (a *abuser) closedWindows() {
	f, ok := a.frames(0)
	if !ok {
		return
	}
	defer a.end()
	for id := uint32(1); id < 60; id += 2 {
		if f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block("GET"), EndHeaders: true,
			EndStream: true}) != nil {
			return
		}
	}

	a.pause(time.Second)
}

func (a *abuser) endlessData() {
	f, ok := a.frames(65535)
	if !ok {
		return
	}
	defer a.end()
	for id := uint32(1); id < 8; id += 2 {
		if f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block("POST", "trailer", "x-t"),
			EndHeaders: true}) != nil {
			return
		}
	}

	for n := range uint32(100) { // more than every window
		if f.WriteData(1+2*(n%4), false, make([]byte, 4096)) != nil || !a.pause(2*time.Millisecond) {
			return
		}
	}
}

func (a *abuser) endlessFields() {
	f, ok := a.frames(65535)
	if !ok {
		return
	}
	defer a.end()
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block("GET", "x", strings.Repeat("a", 8000))})
	for range 50 {
		if f.WriteContinuation(1, false, block("GET", "cookie", strings.Repeat("a=b; ", 1500))) != nil {
			return
		}
	}
}

func (a *abuser) pings() {
	f, ok := a.frames(65535)
	if !ok {
		return
	}
	defer a.end()
	for n := range 500 {
		if n%50 == 0 {
			_ = f.WriteSettings()
		}
		if f.WritePing(false, [8]byte{}) != nil {
			return
		}
	}
}
