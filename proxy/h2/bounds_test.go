package h2

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// hello answers as soon as it has read the request.
func hello(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	_, _ = io.WriteString(w, "hello")
}

// Each thing that a client may do often has a bound, and its answer.
func TestServer_EachBoundHasItsAnswer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		abuse func(p *peer)
		want  string
	}{
		"PING": {func(p *peer) {
			for range maxNoise + noisePerSecond {
				_ = p.WritePing(false, [8]byte{})
			}
		}, "GOAWAY ENHANCE_YOUR_CALM"},
		"SETTINGS": {func(p *peer) {
			for range maxNoise + noisePerSecond {
				_ = p.WriteSettings()
			}
		}, "GOAWAY ENHANCE_YOUR_CALM"},
		"settings in one frame": {func(p *peer) {
			_ = p.WriteSettings(make([]http2.Setting, maxSettings+1)...)
		}, "GOAWAY ENHANCE_YOUR_CALM"},
		"PRIORITY": {func(p *peer) {
			for range maxNoise + noisePerSecond {
				_ = p.WritePriority(1, http2.PriorityParam{})
			}
		}, "GOAWAY ENHANCE_YOUR_CALM"},
		"frames of an unknown type": {func(p *peer) {
			for range maxNoise + noisePerSecond {
				_ = p.WriteRawFrame(0xbe, 0, 0, nil)
			}
		}, "GOAWAY ENHANCE_YOUR_CALM"},
		"empty DATA": {func(p *peer) {
			p.request(1, false)
			for range maxNoise + noisePerSecond {
				_ = p.WriteData(1, false, nil)
			}
		}, "GOAWAY ENHANCE_YOUR_CALM"},
		"WINDOW_UPDATE of one byte": {func(p *peer) {
			p.request(1, false)
			for range maxNoise + noisePerSecond {
				_ = p.WriteWindowUpdate(1, 1)
			}
		}, "GOAWAY ENHANCE_YOUR_CALM"},
		"CONTINUATION": {func(p *peer) {
			_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.section(":method", "GET")})
			for range maxContinued + 1 {
				_ = p.WriteContinuation(1, false, nil)
			}
		}, "GOAWAY ENHANCE_YOUR_CALM"},
		"bytes of a field block": {func(p *peer) {
			_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: make([]byte, maxFrame)})
			for range 8 {
				_ = p.WriteContinuation(1, false, make([]byte, maxFrame))
			}
		}, "GOAWAY ENHANCE_YOUR_CALM"},
		"the size of a head": {func(p *peer) {
			p.request(1, true, "x", strings.Repeat("a", 9<<10))
		}, "431"},
		"the number of fields": {func(p *peer) {
			p.request(1, true, strings.Split(strings.Repeat("x,y,", maxFields+1), ",")...)
		}, "431"},
		"the window of a stream": {func(p *peer) {
			p.request(1, false)
			for range clientStream/maxFrame + 1 {
				_ = p.WriteData(1, false, make([]byte, maxFrame))
			}
		}, "RST_STREAM FLOW_CONTROL_ERROR"},
		"the size of a frame": {func(p *peer) {
			_ = p.WriteRawFrame(http2.FrameType(frameData), 0, 1, make([]byte, maxFrame+1))
		}, "GOAWAY FRAME_SIZE_ERROR"},
		"streams at a time": {func(p *peer) {
			for i := range uint32(maxStreams) {
				p.request(2*i+3, false)
			}
			p.request(1<<20+1, false)
		}, "RST_STREAM REFUSED_STREAM"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			waits := make(chan struct{})
			p := client(t, &Server{MaxHeaderBytes: 8 << 10,
				Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					<-waits
				})})
			t.Cleanup(func() { close(waits) })
			p.settle()
			go c.abuse(p)
			id := uint32(1)
			if name == "streams at a time" {
				id = 1<<20 + 1
			}
			if got := p.fate(id); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// Streams that are reset before they are answered are counted, whoever resets
// them (CVE-2023-44487, CVE-2025-8671).
func TestServer_ResetStreamsAreCounted(t *testing.T) {
	t.Parallel()
	for name, reset := range map[string]func(p *peer, id uint32){
		"by the client":     func(p *peer, id uint32) { _ = p.WriteRSTStream(id, http2.ErrCodeCancel) },
		"by a wrong window": func(p *peer, id uint32) { _ = p.WriteWindowUpdate(id, 0) },
		"by a wrong length": func(p *peer, id uint32) { _ = p.WriteData(id, true, []byte("more than declared")) },
		"by wrong trailers": func(p *peer, id uint32) { p.headers(id, false, "x", "y") },
		"by a wrong head":   nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := client(t, &Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter,
				r *http.Request) {
				<-r.Context().Done()
			})})
			go func() {
				for i := range uint32(3 * maxDebt) {
					id := 2*i + 1
					if reset == nil {
						p.headers(id, true, ":path", "/")
						continue
					}
					p.request(id, false, "content-length", "3")
					reset(p, id)
				}
			}()
			if got := p.fate(0); got != "GOAWAY ENHANCE_YOUR_CALM" {
				t.Error(got)
			}
		})
	}
}

// Requests that end well pay for those that were reset.
func TestServer_AClientThatCancelsNowAndThenGoesOn(t *testing.T) {
	t.Parallel()
	p := client(t, &Server{Handler: http.HandlerFunc(hello)})
	for i := range uint32(2 * maxDebt) {
		id := 4*i + 1
		p.request(id, false)
		_ = p.WriteRSTStream(id, http2.ErrCodeCancel)
		p.request(id+2, true)
		if got := p.fate(id + 2); got != "200" {
			t.Fatalf("after %d: %s", i, got)
		}
	}
}
