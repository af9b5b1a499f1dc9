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

// A client that cancels its stream cancels the backend's work, whatever the
// backend is doing.
func TestHTTP2_ACancelReachesTheBackend(t *testing.T) {
	t.Parallel()
	moments := map[string]struct {
		head []pair
		end  bool
		when func(*testing.T, *framed, uint32)
	}{
		"before the answer": {pseudo("GET", "/wait"), true, func(*testing.T, *framed, uint32) {}},
		"in the answer":     {pseudo("GET", "/begin"), true, func(t *testing.T, c *framed, s uint32) { c.read(t, s, 1) }},
		"in the request": {pseudo("POST", "/read"), false,
			func(_ *testing.T, c *framed, s uint32) { _ = c.WriteData(s, false, []byte("a")) }},
		"in a promised body": {pseudo("POST", "/read", pair{"content-length", "9"}), false,
			func(_ *testing.T, c *framed, s uint32) { _ = c.WriteData(s, false, []byte("a")) }},
		"in a gRPC call": {pseudo("POST", "/both", pair{"content-type", "application/grpc"}, pair{"te", "trailers"}),
			false, func(t *testing.T, c *framed, s uint32) { c.read(t, s, 1) }},
		"where both sides end": {pseudo("POST", "/both"), true, func(t *testing.T, c *framed, s uint32) { c.read(t, s, 1) }},
	}

	arrived, ended := make(chan string, 10), make(chan string, 10)
	for protocol, target := range bothWays(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/fine":
			return
		case "/begin", "/both":
			_, _ = io.WriteString(w, "a")
			_ = http.NewResponseController(w).Flush()
		}

		arrived <- r.URL.Path
		if r.URL.Path == "/read" || r.URL.Path == "/both" {
			_, err := io.Copy(io.Discard, r.Body)
			if r.URL.Path == "/read" && err == nil {
				t.Errorf("a request that was cut ended cleanly")
			}
		}

		<-r.Context().Done()
		ended <- r.URL.Path
	}) {
		p := start(t, target)
		for name, moment := range moments {
			t.Run(name+" to "+protocol, func(t *testing.T) {
				c := dialFramed(t, p.Address)
				stream := c.next
				c.next += 2
				_ = c.send(stream, moment.end, moment.head)
				moment.when(t, c, stream)
				within(t, "arrival", arrived)
				_ = c.WriteRSTStream(stream, http2.ErrCodeCancel)
				within(t, "the end at the backend", ended)
				if got := c.fetch("/fine"); got.status != "200" {
					t.Errorf("the connection's next request: %v", got)
				}
			})
		}
	}
}

// within waits for a message.
func within(t *testing.T, what string, c <-chan string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(await.Limit):
		t.Fatalf("no %s", what)
	}
}

// If a backend breaks off its answer, the client's answer is broken off too. It
// never looks complete.
func TestHTTP2_ACutAnswerIsCutForTheClient(t *testing.T) {
	t.Parallel()
	var faults await.Values[string]
	const half = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"

	targets := map[string]string{
		"http": backend.StartRaw(t, "raw", func(c *backend.Conn) {
			if _, err := c.ReadRequest(); err == nil {
				_, _ = io.WriteString(c, half)
			}
		}).Target(),
		"h2c": startFramed(t, &faults, func(_ seen, a *answerer) {
			a.headers(false, pair{":status", "200"})
			a.data(false, "half")
			_ = a.WriteRSTStream(a.stream, http2.ErrCodeInternal)
		}),
	}
	for protocol, target := range targets {
		p := start(t, target)
		t.Run("h2c from "+protocol, func(t *testing.T) {
			got := dialFramed(t, p.Address).fetch("/")
			if got.status != "200" || got.ended || !strings.HasPrefix(got.cut, "RST_STREAM ") ||
				!strings.HasPrefix("half", got.body) {
				t.Errorf("%v", got)
			}
		})
		t.Run("http/1.1 from "+protocol, func(t *testing.T) {
			conn, in := connect(t, p.Address)
			_, _ = io.WriteString(conn, get())
			if status, body, _, err := whole(in, "GET"); status == 200 && err == nil {
				t.Errorf("a whole answer %q", body)
			}
		})
	}
}

// A request that a backend refused without processing it goes to another
// backend, also a POST, and the client does not notice (RFC 9113 section 8.7).
func TestHTTP2_ARefusedStreamGoesToAnotherBackend(t *testing.T) {
	t.Parallel()
	var faults await.Values[string]
	var asked atomic.Int64

	target := startFramed(t, &faults, func(_ seen, a *answerer) {
		if asked.Add(1) == 1 {
			_ = a.WriteRSTStream(a.stream, http2.ErrCodeRefusedStream)
			return
		}
		a.headers(false, pair{":status", "200"})
		a.data(true, fmt.Sprint(asked.Load()))
	})
	p := pillion.Start(t, "LB_BACKENDS="+target+";"+strings.Replace(target, "framed", "another", 1))
	c := dialFramed(t, p.Address)
	stream := c.open(pseudo("POST", "/", pair{"content-length", "5"})...)
	_ = c.WriteData(stream, true, []byte("hello"))
	if got := c.wait(stream); got.status != "200" || got.body != "2" {
		t.Errorf("%v", got)
	}
}

// If there is no other, it is asked again, for behind one address there may be
// many instances. A backend that refuses everything is asked twice.
func TestHTTP2_TheOnlyBackendIsAskedAgainForWhatItDidNotProcess(t *testing.T) {
	t.Parallel()
	refuse := func(a *answerer) { _ = a.WriteRSTStream(a.stream, http2.ErrCodeRefusedStream) }
	leave := func(a *answerer) { _ = a.WriteGoAway(a.stream-1, http2.ErrCodeNo, nil) }
	for name, row := range map[string]struct {
		refuse func(*answerer)
		times  int64
		status string
		asked  int64
	}{
		"refused once":   {refuse, 1, "200", 2},
		"GOAWAY once":    {leave, 1, "200", 2},
		"always refused": {refuse, 100, "502", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var faults await.Values[string]
			var asked atomic.Int64
			p := pillion.Start(t, "LB_BACKENDS="+startFramed(t, &faults, func(_ seen, a *answerer) {
				if asked.Add(1) <= row.times {
					row.refuse(a)
					return
				}
				a.headers(false, pair{":status", "200"})
				a.data(true, "ok")
			}))

			c := dialFramed(t, p.Address)
			stream := c.open(pseudo("POST", "/", pair{"content-length", "5"})...)
			_ = c.WriteData(stream, true, []byte("hello"))
			if got := c.wait(stream); got.status != row.status || asked.Load() != row.asked {
				t.Errorf("%v, and the backend was asked %d times", got, asked.Load())
			}
		})
	}
}
