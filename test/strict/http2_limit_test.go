package strict

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// bothWays starts a backend and returns its item of LB_BACKENDS for each
// protocol.
func bothWays(t *testing.T, handler http.HandlerFunc) map[string]string {
	t.Helper()
	b := backend.Start(t, "one", handler)
	return map[string]string{"http": b.Target(), "h2c": "h2c://" + b.Address + "?name=one"}
}

// sized reads the request and answers with as many bytes as its path says.
func sized(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}

	var n int
	_, _ = fmt.Sscan(strings.Trim(r.URL.Path, "/"), &n)
	w.Header().Set("Received", string(body))
	_, _ = io.WriteString(w, strings.Repeat("a", n))
}

// field returns the first value of a field.
func (r reply) field(name string) string {
	for _, f := range r.fields {
		if f.name == name {
			return f.value
		}
	}
	return ""
}

// open begins a request on the next stream and leaves it open.
func (c *framed) open(fields ...pair) uint32 {
	stream := c.next
	c.next += 2
	_ = c.send(stream, false, fields)
	return stream
}

// If a client does not send the rest of a body, its stream gets 408, with or
// without a content length. The other streams of the connection go on, and so
// does a silent gRPC call.
func TestHTTP2_AStalledBodyEndsOnlyItsStream(t *testing.T) {
	t.Parallel()
	for protocol, target := range bothWays(t, sized) {
		for kind, fields := range map[string][]pair{"promised": {{"content-length", "5"}}, "without a length": nil} {
			t.Run(protocol+" "+kind, func(t *testing.T) {
				t.Parallel()
				c := dialFramed(t, start(t, target).Address)
				silent := c.open(pseudo("POST", "/1", pair{"content-type", "application/grpc+proto"}, pair{"te", "trailers"})...)
				_ = c.WriteData(silent, false, []byte("he"))

				began := time.Now()
				stalled := c.open(pseudo("POST", "/1", fields...)...)
				_ = c.WriteData(stalled, false, []byte("he"))
				got := c.wait(stalled)
				if got.status != "408" || !strings.HasPrefix(got.body, "408 Request Timeout\nrequest id: ") ||
					got.field("x-request-id") == "" || time.Since(began) < time.Second {
					t.Errorf("a stalled body: %v after %v, want 408 after the timeout", got, time.Since(began))
				}

				_ = c.WriteData(silent, true, []byte("llo"))
				if got := c.wait(silent); got.status != "200" || got.field("received") != "hello" {
					t.Errorf("a silent call: %v, want 200 with the whole body", got)
				}
			})
		}
	}
}

// An upload may take longer than the stall timeout if it makes progress.
func TestHTTP2_ASlowBodyThatMovesIsNotCut(t *testing.T) {
	t.Parallel()
	for protocol, target := range bothWays(t, sized) {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := dialFramed(t, start(t, target).Address)
			const body = "slowly"
			stream := c.open(pseudo("POST", "/1", pair{"content-length", fmt.Sprint(len(body))})...)
			tick := time.NewTicker(300 * time.Millisecond)
			defer tick.Stop()
			for i := range body {
				_ = c.WriteData(stream, i == len(body)-1, []byte(body[i:i+1]))
				<-tick.C
			}

			if got := c.wait(stream); got.status != "200" || got.field("received") != body {
				t.Errorf("%v, want 200 with the whole body", got)
			}
		})
	}
}

// If a client keeps a stream's window closed while there is more to send, the
// stream is reset. Other streams of the connection go on.
func TestHTTP2_AClosedWindowEndsOnlyItsStream(t *testing.T) {
	t.Parallel()
	for protocol, target := range bothWays(t, sized) {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := dialFramed(t, start(t, target).Address)
			_ = c.WriteWindowUpdate(0, 1<<24)

			for _, path := range []string{"/100000", "/1000000"} { // from one write, and from many
				stream := c.next
				c.next += 2
				_ = c.send(stream, true, pseudo("GET", path))

				began, taken, cut := time.Now(), 0, false
				for !cut {
					frame, err := c.ReadFrame()
					if err != nil {
						t.Fatalf("%s: %v after %d bytes and %v", path, err, taken, time.Since(began))
					}

					switch frame := frame.(type) {
					case *http2.DataFrame:
						taken += len(frame.Data())
						if frame.StreamEnded() {
							t.Fatalf("%s: a complete answer of %d bytes in spite of the closed window", path, taken)
						}
					case *http2.RSTStreamFrame:
						cut = frame.StreamID == stream
					default:
						c.housekeeping(frame)
					}
				}

				if taken > 65535 || time.Since(began) < time.Second {
					t.Errorf("%s: cut after %d bytes and %v", path, taken, time.Since(began))
				}
			}

			if got := c.fetch("/3"); got.status != "200" || got.body != "aaa" {
				t.Errorf("the connection's next request: %v", got)
			}
		})
	}
}

// heldRequests counts a backend's requests, which end only with their clients.
type heldRequests struct{ now, most, all atomic.Int64 }

func (c *heldRequests) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/slow" {
		return
	}

	c.all.Add(1)
	c.most.Store(max(c.most.Load(), c.now.Add(1))) // a guard against hundreds may lose one
	defer c.now.Add(-1)
	<-r.Context().Done()
}

// If requests are reset as fast as they are made (CVE-2023-44487), a backend
// never has more of them than a client may have streams. Other clients are
// served meanwhile, and no request is left afterwards. The connection may be
// closed.
func TestHTTP2_RapidResetsAreHeldToTheStreamsOfOneConnection(t *testing.T) {
	t.Parallel()
	b := new(heldRequests)
	for protocol, target := range bothWays(t, b.ServeHTTP) {
		t.Run(protocol, func(t *testing.T) {
			p := start(t, target)
			c := dialFramed(t, p.Address)
			go func() { // so that nothing waits for a reader
				for {
					frame, err := c.ReadFrame()
					if err != nil {
						return
					}
					if away, ok := frame.(*http2.GoAwayFrame); ok && away.ErrCode != http2.ErrCodeEnhanceYourCalm {
						t.Errorf("the connection ended by %v", away.ErrCode)
					}
				}
			}()

			for i := range 20000 {
				stream := c.next
				c.next += 2
				_ = c.send(stream, true, pseudo("GET", "/slow"))
				if c.WriteRSTStream(stream, http2.ErrCodeCancel) != nil {
					break
				}

				if i%2000 == 0 {
					if got := dialFramed(t, p.Address).fetch("/"); got.status != "200" {
						t.Errorf("another client after %d resets: %v, want 200", i, got)
					}
				}
			}

			await.Until(t, "the backend is rid of all", func() bool { return b.now.Load() == 0 })
			if most := b.most.Load(); most > 300 {
				t.Errorf("%d requests at once at the backend, want at most 300", most)
			}

			t.Logf("%d reached the backend, %d at once", b.all.Load(), b.most.Load())
		})
	}
}

// A head that is larger than the limit is refused, however it is compressed or
// split. It is never kept in memory.
func TestHTTP2_HeaderBombsAreRefused(t *testing.T) {
	t.Parallel()
	p := start(t, bothWays(t, sized)["http"])
	t.Run("a large head", func(t *testing.T) {
		c := dialFramed(t, p.Address)
		stream := c.open(pseudo("GET", "/1", pair{"x", strings.Repeat("a", 200<<10)})...)
		if got := c.wait(stream); got.status != "431" && got.cut == "" {
			t.Errorf("%v", got)
		}
	})

	t.Run("a small head that refers to a large field often", func(t *testing.T) {
		c := dialFramed(t, p.Address)
		if got := c.fetch("/1"); got.status != "200" {
			t.Fatalf("before the bomb: %v", got)
		}

		bomb := pseudo("GET", "/1")
		for range 15000 {
			// one byte each in HPACK, but for the first
			bomb = append(bomb, pair{"x", strings.Repeat("a", 3000)})
		}

		stream := c.open(bomb...)
		if got := c.wait(stream); got.status != "431" && got.cut == "" {
			t.Errorf("%v", got)
		}
	})
	t.Run("continuations without an end", func(t *testing.T) { // CVE-2023-45288
		c := dialFramed(t, p.Address)
		block := append([]byte(nil), c.encode(pseudo("GET", "/1"))...)
		_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block})
		ended := make(chan struct{})

		go func() {
			defer close(ended)
			for {
				if _, err := c.ReadFrame(); err != nil {
					return
				}
			}
		}()
		piece := append([]byte(nil), c.encode([]pair{{"x", strings.Repeat("a", 8<<10)}})...)
		for sent := 0; sent < 64<<20; sent += len(piece) {
			if c.WriteContinuation(1, false, piece) != nil {
				break
			}
		}

		select {
		case <-ended:
		case <-time.After(await.Limit):
			t.Error("the connection is still open")
		}
	})
	if got := dialFramed(t, p.Address).fetch("/2"); got.status != "200" {
		t.Errorf("somebody else: %v", got)
	}

	if peak := peakMemory(t, p.PID()); peak > 256<<10 {
		t.Errorf("%d KiB at the peak", peak)
	}
}

// Pillion's refusals have a request id, over HTTP/2 as over HTTP/1.1.
func TestHTTP2_RefusalsCarryARequestID(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, "LB_BACKENDS="+bothWays(t, sized)["http"], "LB_MAX_BODY_BYTES=10")
	for status, head := range map[string][]pair{
		"400": pseudo("GET", "/a b"),
		"405": pseudo("TRACE", "/"),
		"413": pseudo("POST", "/", pair{"content-length", "11"}),
	} {
		c := dialFramed(t, p.Address)
		stream := c.open(head...)
		got := c.wait(stream)
		if got.status != status || len(got.field("x-request-id")) != 32 ||
			got.field("content-type") != "text/plain; charset=utf-8" {
			t.Errorf("want %s: %v %v", status, got, got.fields)
		}
	}
}

// Clients that do not read their answers do not delay other clients that share
// the connection to the backend.
func TestHTTP2_ClientsThatReadNothingDelayNoOthers(t *testing.T) {
	t.Parallel()
	const idlers = 60
	part := strings.Repeat("a", 200<<10) // more than any window
	begun := make(chan string, idlers)

	p := pillion.Start(t, "LB_BACKENDS="+bothWays(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/idle" {
			begun <- r.URL.Path
		}
		_, _ = io.WriteString(w, part)
	})["h2c"])
	idle := dialFramed(t, p.Address)
	for range idlers {
		idle.open(pseudo("GET", "/idle")...)
	}

	for range idlers {
		within(t, "answer that nobody takes", begun)
	}

	conn, in := connect(t, p.Address)
	_, _ = io.WriteString(conn, line("GET / HTTP/1.1"))
	if status, body, _, err := whole(in, "GET"); status != 200 || body != part || err != nil {
		t.Errorf("another client's request: status %d, %d bytes, error %v, want 200 and everything", status, len(body), err)
	}
}
