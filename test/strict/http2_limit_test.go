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

// bothWays starts one backend and returns it as an item of LB_BACKENDS under each protocol.
func bothWays(t *testing.T, handler http.HandlerFunc) map[string]string {
	t.Helper()
	b := backend.Start(t, "one", handler)
	return map[string]string{"http": b.Target(), "h2c": "h2c://" + b.Address + "?name=one"}
}

// sized answers as many bytes as its path says, when it has read the request.
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

// field is a reply's first value of a name.
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

// A body that its client promised and does not send costs the stream, with the answer that HTTP/1.1 gives. The other
// streams of the connection, silent ones that promised nothing among them, go on.
func TestHTTP2_AStalledBodyCostsItsStreamAlone(t *testing.T) {
	t.Parallel()
	for protocol, target := range bothWays(t, sized) {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := dialFramed(t, start(t, target).Address)
			silent := map[string]uint32{
				"without a length": c.open(pseudo("POST", "/1")...),
				"gRPC":             c.open(pseudo("POST", "/1", pair{"content-type", "application/grpc+proto"}, pair{"te", "trailers"}, pair{"content-length", "5"})...),
			}
			for _, stream := range silent {
				_ = c.WriteData(stream, false, []byte("he"))
			}
			began := time.Now()
			stalled := c.open(pseudo("POST", "/1", pair{"content-length", "5"})...)
			_ = c.WriteData(stalled, false, []byte("he"))
			got := c.wait(stalled)
			if got.status != "408" || !strings.HasPrefix(got.body, "408 Request Timeout\nrequest id: ") || got.field("x-request-id") == "" || time.Since(began) < time.Second {
				t.Errorf("a stalled body: %v after %v", got, time.Since(began))
			}
			for kind, stream := range silent {
				_ = c.WriteData(stream, true, []byte("llo"))
				if got := c.wait(stream); got.status != "200" || got.field("received") != "hello" {
					t.Errorf("a silent body %s: %v", kind, got)
				}
			}
		})
	}
}

// An upload may take longer than the stall timeout as long as it moves.
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
				t.Errorf("%v", got)
			}
		})
	}
}

// A client that keeps a stream's window shut while there is more to send loses the stream. It may go on with others.
func TestHTTP2_AWindowThatStaysShutCostsItsStreamAlone(t *testing.T) {
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
							t.Fatalf("%s: a whole answer of %d bytes through a shut window", path, taken)
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

// crowd is a backend's requests that end only when their clients do.
type crowd struct{ now, most, all atomic.Int64 }

func (c *crowd) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/slow" {
		return
	}
	c.all.Add(1)
	c.most.Store(max(c.most.Load(), c.now.Add(1))) // a guard against hundreds may lose one
	defer c.now.Add(-1)
	<-r.Context().Done()
}

// Requests that are reset as fast as they are made (CVE-2023-44487) get no further than as many streams as a client may
// have at once. Others are served meanwhile, and nothing is left of them at the backend. The connection may be ended.
func TestHTTP2_RapidResetsAreHeldToTheStreamsOfOneConnection(t *testing.T) {
	t.Parallel()
	b := new(crowd)
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
						t.Errorf("somebody else after %d resets: %v", i, got)
					}
				}
			}
			await.Until(t, "the backend is rid of all", func() bool { return b.now.Load() == 0 })
			if most := b.most.Load(); most > 300 {
				t.Errorf("%d requests at once at the backend", most)
			}
			t.Logf("%d reached the backend, %d at once", b.all.Load(), b.most.Load())
		})
	}
}

// A head is refused when it is larger than the limit, however it is packed, and never kept whole.
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
			bomb = append(bomb, pair{"x", strings.Repeat("a", 3000)}) // one byte each in HPACK, but for the first
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

// Our own refusals are told apart by an id, over HTTP/2 as over HTTP/1.1.
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
		if got.status != status || len(got.field("x-request-id")) != 32 || got.field("content-type") != "text/plain; charset=utf-8" {
			t.Errorf("want %s: %v %v", status, got, got.fields)
		}
	}
}

// Clients that do not take their answers hold up nobody who has the same backend, and so the same connection to it.
func TestHTTP2_ClientsThatTakeNothingHoldUpNobodyElse(t *testing.T) {
	t.Parallel()
	const idlers = 60
	part := strings.Repeat("a", 200<<10)
	begun := make(chan string, idlers)
	p := pillion.Start(t, "LB_BACKENDS="+bothWays(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, part)
		if r.URL.Path == "/idle" {
			begun <- r.URL.Path
			_, _ = io.WriteString(w, part)
		}
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
		t.Errorf("somebody else's request: %d, %d bytes, %v", status, len(body), err)
	}
}
