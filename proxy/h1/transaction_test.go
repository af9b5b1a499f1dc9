package h1

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// TestTransaction_EarlyAnswerWhileTheBodyIsOnItsWay: a backend answers at the
// head and stops reading. One goroutine would hang in the write for ever.
func TestTransaction_EarlyAnswerWhileTheBodyIsOnItsWay(t *testing.T) {
	t.Parallel()
	const size = 64 << 20 // more than all socket buffers hold
	for _, framing := range []string{fmt.Sprintf("Content-Length: %d", size), "Transfer-Encoding: chunked"} {
		done := make(chan bool)
		addr, p := through(t, backend(t, func(_ int, c *client) {
			c.head()
			io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
			<-done
		}))
		k := dial(t, addr)
		k.send("POST / HTTP/1.1\r\nHost: x\r\n" + framing + "\r\n\r\n")

		go func() {
			block := fmt.Sprintf("%x\r\n%s\r\n", 64<<10, strings.Repeat("a", 64<<10))
			for range size >> 16 {
				if _, err := io.WriteString(k, block); err != nil {
					return
				}
			}
		}()
		if resp, body := k.response("POST"); resp.StatusCode != 413 || body != "big" {
			t.Error(framing, resp, body)
		}

		close(done)
		if p.t.Idle() != 0 {
			t.Error("a connection whose request was cut was kept")
		}
	}
}

// TestTransaction_FullDuplex: the backend echoes as it reads; neither side
// waits for the other's end.
func TestTransaction_FullDuplex(t *testing.T) {
	t.Parallel()
	addr, _ := through(t, backend(t, func(_ int, c *client) {
		c.head()
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for {
			line, err := c.r.ReadString('\n')
			if err != nil {
				return
			}

			io.WriteString(c, line)
			if line == "0\r\n" {
				io.WriteString(c, "\r\n")
				return
			}
		}
	}))
	k := dial(t, addr)
	k.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
	resp, err := http.ReadResponse(k.r, nil)
	if err != nil {
		t.Fatal(err)
	}

	for i := range 5 {
		want := fmt.Sprintf("part %d", i)
		k.send(fmt.Sprintf("%x\r\n%s\r\n", len(want), want))
		got := make([]byte, len(want))
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != want {
			t.Fatalf("%q %v", got, err)
		}
	}

	k.send("0\r\n\r\n")
	if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil {
		t.Errorf("%q %v", rest, err)
	}
}

// TestTransaction_ExpectIsTheBackendsToAnswer: no body byte before its 100, one
// 100 for the client, none after a refusal.
func TestTransaction_ExpectIsTheBackendsToAnswer(t *testing.T) {
	t.Parallel()
	addr, _ := through(t, backend(t, func(_ int, c *client) {
		for {
			head := c.head()
			switch {
			case head == "":
				return
			case !strings.Contains(head, "Expect: 100-continue\r\n"):
				c.t.Errorf("%q", head)
			case strings.HasPrefix(head, "POST /no"):
				io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
				continue
			}

			if c.r.Buffered() > 0 {
				c.t.Error("body before the 100")
			}

			io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
			io.CopyN(io.Discard, c.r, 4)
			io.WriteString(c, ok)
		}
	}))

	k := dial(t, addr)
	for range 2 {
		k.send("POST /yes HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
		if head := k.head(); head != "HTTP/1.1 100 Continue\r\n\r\n" {
			t.Fatalf("%q", head)
		}

		k.send("body")
		if resp, body := k.response("POST"); resp.StatusCode != 200 || body != "ok" {
			t.Fatal(resp, body)
		}
	}

	k.send("POST /no HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
	if resp, _ := k.response("POST"); resp.StatusCode != 403 {
		t.Error(resp)
	}
}

func TestTransaction_SilentBackendIsNotWaitedForLong(t *testing.T) {
	t.Parallel()
	addr, _ := through(t, backend(t, func(_ int, c *client) {
		c.head()
		io.CopyN(io.Discard, c.r, 4)
		io.WriteString(c, ok)
	}))
	k := dial(t, addr)
	k.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
	if head := k.head(); head != "HTTP/1.1 100 Continue\r\n\r\n" {
		t.Fatalf("%q", head)
	}

	k.send("body")
	if resp, body := k.response("POST"); resp.StatusCode != 200 || body != "ok" {
		t.Fatal(resp, body)
	}
}

// TestTransaction_DepartedClientEndsTheWait, with a close and with a reset,
// before and while the answer comes.
func TestTransaction_DepartedClientEndsTheWait(t *testing.T) {
	t.Parallel()
	for _, reset := range []bool{false, true} {
		for _, begun := range []bool{false, true} {
			arrived, hold := make(chan bool, 1), make(chan bool)
			addr, p := through(t, backend(t, func(_ int, c *client) {
				c.head()
				if begun {
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
				}
				arrived <- true
				<-hold
			}))
			k := dial(t, addr)
			k.send(get)
			receive(t, arrived)
			if begun {
				k.head()
			}

			if reset {
				k.Conn.(*net.TCPConn).SetLinger(0)
			}

			k.Close()
			if e := receive(t, p.errs); e.Client != wire.Gone {
				t.Errorf("reset %v, begun %v: %+v", reset, begun, e)
			}

			close(hold)
		}
	}
}

// TestTransaction_PipelinedBytesAreNoDeparture and stay in the socket for the
// next request.
func TestTransaction_PipelinedBytesAreNoDeparture(t *testing.T) {
	t.Parallel()
	arrived, proceed := make(chan bool, 3), make(chan bool)
	addr, _ := through(t, backend(t, func(_ int, c *client) {
		for c.head() != "" {
			arrived <- true
			<-proceed
			io.WriteString(c, ok)
		}
	}))
	k := dial(t, addr)
	k.send(get)
	receive(t, arrived)
	k.send(get)
	time.Sleep(firstLook + 3*deadlineSlack) // long enough for a look; a longer wait could not fail
	close(proceed)
	for range 2 {
		if _, body := k.response("GET"); body != "ok" {
			t.Error(body)
		}
	}
}

// TestTransaction_WhatTheClientDidToItsBody ends the transaction, is named, and
// leaves the backend with a cut request.
func TestTransaction_WhatTheClientDidToItsBody(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		wire  string
		close bool
		fault wire.Fault
	}{
		"bad chunk":    {"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX", false, wire.BadBody},
		"bad trailer":  {"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nHost: a\r\n\r\n", false, wire.BadBody},
		"cut length":   {"Content-Length: 10\r\n\r\nhello", true, wire.BadBody},
		"cut splice":   {"Content-Length: 100000\r\n\r\nhello", true, wire.BadBody},
		"stall":        {"Content-Length: 10\r\n\r\nhello", false, wire.Stalled},
		"stall splice": {"Content-Length: 100000\r\n\r\nhello", false, wire.Stalled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := make(chan bool, 1)
			p := newRelay(goBackend(t, func(w http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, r.Body)
				whole <- err == nil
			}))
			addr := serve(t, &Server{Handler: p, StallTimeout: 300 * time.Millisecond})
			k := dial(t, addr)
			k.send("POST / HTTP/1.1\r\nHost: x\r\n" + c.wire)
			if c.close {
				k.Conn.(*net.TCPConn).CloseWrite()
			}

			if e := receive(t, p.errs); e.Client != c.fault || e.Outcome == wire.NotSent {
				t.Errorf("%+v", e)
			}
			if receive(t, whole) {
				t.Error("the backend took the request for whole")
			}
		})
	}
}

// TestTransaction_CutAnswersStayCut, also where the kernel moves the bytes.
func TestTransaction_CutAnswersStayCut(t *testing.T) {
	t.Parallel()
	half := strings.Repeat("a", 200_000)
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n" + half,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n",
	} {
		addr, p := through(t, backend(t, func(_ int, c *client) {
			c.head()
			io.WriteString(c, answer)
		}))
		k := dial(t, addr)
		k.send(get)
		if resp, err := http.ReadResponse(k.r, nil); err == nil {
			if _, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("%.60q looks whole", answer)
			}
		}

		if e := receive(t, p.errs); e.Outcome != wire.Broken || e.Client != wire.NoFault {
			t.Errorf("%+v", e)
		}
	}
}

// TestTransaction_SpliceNamesTheSideThatBroke: the client leaves in the middle
// of a large answer.
func TestTransaction_SpliceNamesTheSideThatBroke(t *testing.T) {
	t.Parallel()
	addr, p := through(t, backend(t, func(_ int, c *client) {
		c.head()
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
		for block := strings.Repeat("a", 1<<20); ; {
			if _, err := io.WriteString(c, block); err != nil {
				return
			}
		}
	}))
	k := dial(t, addr)
	k.send(get)
	if _, err := io.CopyN(io.Discard, k, 3<<20); err != nil {
		t.Fatal(err)
	}

	k.Conn.(*net.TCPConn).SetLinger(0)
	k.Close()
	if e := receive(t, p.errs); e.Client != wire.Gone {
		t.Errorf("%+v", e)
	}
}

// TestTransaction_SpliceOutlastsPauses of either side that are longer than a
// wake and shorter than a stall.
func TestTransaction_SpliceOutlastsPauses(t *testing.T) {
	t.Parallel()
	const size = 400_000

	// so that the wakes happen; nothing hangs on how long it is
	pause := func() { time.Sleep(firstLook + nextLook) }
	p := newRelay(backend(t, func(_ int, c *client) {
		for c.head() != "" {
			if n, err := io.CopyN(io.Discard, c.r, size); err != nil {
				c.t.Error(n, err)
			}
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("a", size/2))
			pause()
			io.WriteString(c, strings.Repeat("b", size/2))
		}
	}))
	p.t.StallTimeout = 5 * time.Second
	t.Cleanup(p.t.CloseIdle)
	k := dial(t, serve(t, &Server{Handler: p, StallTimeout: 5 * time.Second}))
	k.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("a", size/2)))
	pause()
	k.send(strings.Repeat("b", size/2))
	if resp, body := k.response("POST"); body != strings.Repeat("a", size/2)+strings.Repeat("b", size/2) {
		t.Error(resp, len(body))
	}
}

// TestTransaction_OnlyWebSocketIsTunnelled: any other upgrade is dropped and
// the request goes on.
func TestTransaction_OnlyWebSocketIsTunnelled(t *testing.T) {
	t.Parallel()
	addr, _ := through(t, backend(t, func(_ int, c *client) {
		for {
			head := c.head()
			if head == "" {
				return
			}

			for _, field := range []string{"h2c", "Http2-Settings", "Upgrade", "Connection"} {
				if strings.Contains(head, field) {
					c.t.Errorf("%s in %q", field, head)
				}
			}

			io.WriteString(c, ok)
		}
	}))

	k := dial(t, addr)
	for range 2 {
		k.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: " +
			"AAA\r\n\r\n")
		if resp, body := k.response("GET"); resp.StatusCode != 200 || body != "ok" {
			t.Error(resp, body)
		}
	}
}

// TestTransaction_NothingOfOneRequestIsInTheNext: all memory is reused, so
// whatever a transaction leaves could show.
func TestTransaction_NothingOfOneRequestIsInTheNext(t *testing.T) {
	t.Parallel()
	addr, _ := through(t, goBackend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/rich" {
			w.Header().Set("X-Secret", "answer")
			w.Header().Add("Set-Cookie", "a=b")
			w.Header().Add("Set-Cookie", "c=d")
		}
		fmt.Fprintf(w, "%v%v", r.Header["X-Secret"], r.Header["Cookie"])
	}))

	k := dial(t, addr)
	for range 10 {
		k.send("GET /rich HTTP/1.1\r\nHost: x\r\nX-Secret: one\r\nX-Secret: two\r\nCookie: c\r\n\r\n")
		if resp, body := k.response("GET"); body != "[one two][c]" || len(resp.Header["Set-Cookie"]) != 2 {
			t.Fatal(body, resp.Header)
		}

		k.send("GET /plain HTTP/1.1\r\nHost: x\r\n\r\n")
		if resp, body := k.response("GET"); body != "[][]" ||
			len(resp.Header["Set-Cookie"])+len(resp.Header["X-Secret"]) != 0 {
			t.Fatal(body, resp.Header)
		}
	}
}
