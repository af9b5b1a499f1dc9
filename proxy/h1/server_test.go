package h1

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
	"github.com/pillion-lb/pillion/proxy/wire"
)

const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

func hello(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }

func handler(f func(w http.ResponseWriter, r *http.Request)) *Server {
	return &Server{
		Handler: http.HandlerFunc(f), StallTimeout: 5 * time.Second, Idle: new(socket.IdleSet),
	}
}

func TestServer_RefusalClosesAndIsReported(t *testing.T) {
	t.Parallel()
	type report struct {
		status     int
		id, reason string
	}
	reports := make(chan report, 1)
	s := handler(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })
	s.Rejected = func(_ net.Addr, status int, id, reason string) { reports <- report{status, id, reason} }
	k := dial(t, serve(t, s))
	k.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET " +
		"/smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, body := k.response("POST")
	if resp.StatusCode != 400 || !resp.Close || body != wire.ErrorText(400, resp.Header.Get("X-Request-Id")) {
		t.Error(resp, body)
	}

	if got := receive(t, reports); got.status != 400 || got.id != resp.Header.Get("X-Request-Id") || len(got.id) != 32 ||
		got.reason == "" {
		t.Error(got)
	}
	if more := k.rest(); more != "" {
		t.Errorf("%q after the refusal", more)
	}
}

func TestServer_AnswersNothingToWhatIsNoHTTP(t *testing.T) {
	t.Parallel()
	reports := make(chan int, 2)
	s := &Server{Handler: http.HandlerFunc(hello)}
	s.Rejected = func(_ net.Addr, status int, _, _ string) { reports <- status }
	addr := serve(t, s)

	k := dial(t, addr)
	k.send("INVALID CONNECTION PREFACE\r\n\r\n")
	if answer := k.rest(); answer != "" || receive(t, reports) != 0 {
		t.Errorf("%q to what is no HTTP", answer)
	}

	for _, line := range []string{"GET / FTP/1.1", "GET /", "GET /a b HTTP/1.1"} {
		k := dial(t, addr)
		k.send(line + "\r\n\r\n")
		if resp, _ := k.response("GET"); resp.StatusCode != 400 || receive(t, reports) != 400 {
			t.Errorf("%d to %q", resp.StatusCode, line)
		}
	}

	k = dial(t, addr)
	k.send(get)
	k.response("GET")
	k.send("THREE PLAIN WORDS\r\n\r\n")
	if resp, _ := k.response("GET"); resp.StatusCode != 400 {
		t.Errorf("%d to a later request", resp.StatusCode)
	}
}

func TestServer_RefusesMalformedAtOnce(t *testing.T) {
	t.Parallel()
	addr := serve(t, &Server{Handler: http.HandlerFunc(hello), MaxHeaderBytes: 1 << 10, HeaderTimeout: time.Minute})
	for _, c := range []struct {
		wire   string
		status int
	}{
		{"GET / HTTP/1.1\nHost: x\n\n", 400},
		{"GET / HTTP/1.1\r\nHost: x\r\nX: y\n", 400},
		{"GET /" + strings.Repeat("a", 2<<10), 414},
		{"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 2<<10), 431},
		{"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 2<<10) + "\r\n\r\n", 431},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
		{"\r\n\r\n" + get, 400},
	} {
		k := dial(t, addr)
		k.send(c.wire)
		if resp, _ := k.response("GET"); resp.StatusCode != c.status {
			t.Errorf("%.30q: %d", c.wire, resp.StatusCode)
		}
		k.rest()
	}

	k := dial(t, addr)
	k.send("\r\n" + get)
	if resp, _ := k.response("GET"); resp.StatusCode != 200 {
		t.Error("an empty line before the request was not skipped")
	}
}

func TestServer_HeadInAnyPieces(t *testing.T) {
	t.Parallel()
	k := dial(t, serve(t, handler(echo)))
	const wire = "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"

	for i := range len(wire) {
		k.send(wire[:i])
		time.Sleep(time.Millisecond / 2) // only to make the pieces likely; nothing hangs on it
		k.send(wire[i:])
		if resp, body := k.response("POST"); body != "hi" {
			t.Fatal(i, resp, body)
		}
	}
}

func TestServer_TimeoutsByPhase(t *testing.T) {
	t.Parallel()
	addr := serve(t, &Server{Handler: http.HandlerFunc(echo), HeaderTimeout: 50 * time.Millisecond,
		StallTimeout: 50 * time.Millisecond, IdleTimeout: 150 * time.Millisecond})
	slow := dial(t, addr)
	slow.send("GET / HTTP/1.1\r\nHo")
	if resp, _ := slow.response("GET"); resp.StatusCode != 408 {
		t.Error(resp)
	}

	slow.rest()
	stalled := dial(t, addr)
	stalled.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe")
	if resp, _ := stalled.response("POST"); resp.StatusCode != 400 {
		t.Error(resp)
	}

	quiet := dial(t, addr)
	quiet.send(get)
	quiet.response("GET")
	if got := quiet.rest(); got != "" {
		t.Errorf("idle connection ended with %q", got)
	}
}

func TestServer_HalfClosedClientGetsAnswerAndEnd(t *testing.T) {
	t.Parallel()
	k := dial(t, serve(t, handler(hello)))
	k.send(get)
	k.Conn.(*net.TCPConn).CloseWrite()
	if got := k.rest(); !strings.HasSuffix(got, "hello") {
		t.Errorf("%q", got)
	}
}

func TestServer_BodyReadAfterCloseFails(t *testing.T) {
	t.Parallel()
	reading, failed := make(chan bool), make(chan error, 2)
	var late io.Reader

	addr := serve(t, handler(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			return
		}

		late = r.Body
		var work sync.WaitGroup
		defer work.Wait()
		work.Go(func() {
			close(reading)
			_, err := r.Body.Read(make([]byte, 10))
			failed <- err
		})
		<-reading
		r.Body.Close()
		_, err := r.Body.Read(make([]byte, 10))
		failed <- err
	}))
	k := dial(t, addr)
	k.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
	for range 2 {
		if err := receive(t, failed); err == nil {
			t.Error("a read after Close succeeded")
		}
	}

	k.send("12345" + get)
	k.response("POST")
	if r, _ := k.response("GET"); r.StatusCode != http.StatusOK {
		t.Errorf("the next request: %d", r.StatusCode)
	}

	_ = late
}

func TestServer_UnreadBodyIsDrainedOrTheConnectionEnds(t *testing.T) {
	t.Parallel()
	addr := serve(t, handler(hello))
	for _, c := range []struct {
		size int
		kept bool
	}{{200 << 10, true}, {300 << 10, false}} {
		k := dial(t, addr)
		go fmt.Fprintf(k, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s%s", c.size, strings.Repeat("a", c.size),
			get)
		resp, body := k.response("POST")
		if body != "hello" || resp.Close == c.kept {
			t.Errorf("%d: %v", c.size, resp)
		}

		if c.kept {
			if _, body := k.response("GET"); body != "hello" {
				t.Error("the next request was not found behind the body")
			}
		}
	}
}

func TestServer_AnswerSurvivesUnreadInput(t *testing.T) {
	t.Parallel()
	k := dial(t, serve(t, handler(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		io.WriteString(w, "too large")
	})))
	const size = 400 << 10
	k.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", 10*size, strings.Repeat("a", size)))
	if resp, body := k.response("POST"); body != "too large" || !resp.Close {
		t.Error(resp, body)
	}
}

func TestServer_ContinueIsSentOnceAndOnlyWhenWanted(t *testing.T) {
	t.Parallel()
	addr := serve(t, handler(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/no":
			w.WriteHeader(http.StatusForbidden)
			return
		case "/twice":
			w.WriteHeader(http.StatusContinue)
			w.WriteHeader(http.StatusContinue)
		}

		echo(w, r)
	}))
	for _, path := range []string{"/yes", "/twice"} {
		k := dial(t, addr)
		k.send("POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-Continue\r\n\r\n")
		if head := k.head(); head != "HTTP/1.1 100 Continue\r\n\r\n" {
			t.Fatalf("%q", head)
		}

		k.send("hi")
		if resp, body := k.response("POST"); resp.StatusCode != 200 || body != "hi" {
			t.Error(path, resp, body)
		}
	}

	k := dial(t, addr)
	k.send("POST /no HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
	if resp, _ := k.response("POST"); resp.StatusCode != 403 || !resp.Close {
		t.Error(resp)
	}
}

func TestServer_CutAnswersAreSeenAsCut(t *testing.T) {
	t.Parallel()
	addr := serve(t, handler(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/short":
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "hello")
		case "/abort":
			io.WriteString(w, "hello")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case "/old":
			io.WriteString(w, "hello")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	}))
	for _, request := range []string{"GET /short HTTP/1.1", "GET /abort HTTP/1.1", "GET /old HTTP/1.0"} {
		k := dial(t, addr)
		k.send(request + "\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(k.r, nil)
		if err != nil {
			continue // the reset was faster
		}

		if body, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("%s: %q looks whole", request, body)
		}
	}
}

func TestServer_SurvivesPanics(t *testing.T) {
	t.Parallel()
	reasons := make(chan string, 10)
	s := handler(func(w http.ResponseWriter, r *http.Request) { panic("boo") })
	s.Rejected = func(_ net.Addr, _ int, _, reason string) { reasons <- reason }

	addr := serve(t, s)
	for range 2 {
		k := dial(t, addr)
		k.send(get)
		if resp, _ := k.response("GET"); resp.StatusCode != 500 || !resp.Close {
			t.Error(resp)
		}

		if reason := receive(t, reasons); !strings.Contains(reason, "boo") {
			t.Error(reason)
		}

		k.rest()
	}
}

func TestServer_NeverWritesWhatTheHandlerMayNotSay(t *testing.T) {
	t.Parallel()
	addr := serve(t, handler(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		if r.URL.Path == "/bad" {
			h.Set("X", "a\r\nY: b")
			io.WriteString(w, "body")
			return
		}

		h["transfer-encoding"] = []string{"gzip"}
		h.Set("Connection", "X")
		h.Set("Keep-Alive", "timeout=5")
		h.Set("Upgrade", "h2c")
		h.Set("Content-Length", "4, 4")
		io.WriteString(w, "body")
	}))
	k := dial(t, addr)
	k.send(get)
	if head := k.head(); strings.Contains(head, "gzip") || strings.Contains(head, "Upgrade") ||
		strings.Contains(head, "Connection") ||
		strings.Contains(head, "Keep-Alive") || !strings.Contains(head, "\r\nContent-Length: 4\r\n") ||
		!strings.Contains(head, "\r\nDate: ") {
		t.Errorf("%q", head)
	}

	k = dial(t, addr)
	k.send("GET /bad HTTP/1.1\r\nHost: x\r\n\r\n")
	if got := k.rest(); !strings.HasPrefix(got, "HTTP/1.1 500 ") || strings.Contains(got, "Y: b") ||
		strings.Contains(got, "body") {
		t.Errorf("%q", got)
	}
}

// TestServer_HeadOfAnotherResponse: WriteHeaderFrom says the same as copying it
// into the map would.
func TestServer_HeadOfAnotherResponse(t *testing.T) {
	t.Parallel()
	from := http.Header{"X-A": {"1", "2"}, "X-Own": {"theirs"}, "Content-Length": {"5"}, "Connection": {"close"},
		"Keep-Alive":        {"timeout=5"},
		"Transfer-Encoding": {"gzip"}, "Upgrade": {"h2c"}}
	addr := serve(t, handler(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Own", "ours")
		w.(interface{ WriteHeaderFrom(int, http.Header) }).WriteHeaderFrom(http.StatusTeapot, from)
		io.WriteString(w, "hello")
	}))

	k := dial(t, addr)
	for range 2 {
		k.send(get)
		resp, body := k.response("GET")
		resp.Header.Del("Date")
		if got := fmt.Sprint(resp.StatusCode, resp.Header, resp.Close,
			body); got != "418 map[Content-Length:[5] X-A:[1 2] X-Own:[ours]] falsehello" {
			t.Error(got)
		}
	}
}

func TestServer_UnknownLengthIsChunkedOrEndsTheConnection(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789abcdef", 10_000)
	addr := serve(t, handler(func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(long); i += 1000 {
			io.WriteString(w, long[i:i+1000])
		}
	}))

	k := dial(t, addr)
	for range 2 {
		k.send(get)
		if resp, body := k.response("GET"); len(resp.TransferEncoding) != 1 || body != long {
			t.Error(resp, len(body))
		}
	}

	k.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	if resp, body := k.response("GET"); !resp.Close || body != long {
		t.Error(resp, len(body))
	}
}

// TestServer_ContextIsPerRequest: a derived context of one request may not end
// the next one's, and starts no goroutine.
func TestServer_ContextIsPerRequest(t *testing.T) {
	t.Parallel()
	var kept []context.Context
	addr := serve(t, handler(func(w http.ResponseWriter, r *http.Request) {
		for _, old := range kept {
			if old == r.Context() || old.Err() == nil {
				t.Error("the context of an earlier request is alive")
			}
		}

		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		if ctx.Err() != nil || r.Context().Err() != nil {
			t.Error("born dead")
		}

		kept = append(kept, r.Context())
	}))
	k := dial(t, addr)
	for range 5 {
		k.send(get)
		k.response("GET")
	}
}

// TestServer_ContextOfATunnelIsNobodyElses: the memory of its request is
// reused, the ended context is not.
func TestServer_ContextOfATunnelIsNobodyElses(t *testing.T) {
	t.Parallel()
	addr := serve(t, handler(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Err() != nil {
			t.Error("born dead")
		}

		r.Context().Done()
		if r.URL.Path == "/tunnel" {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			conn.Close()
		}
	}))
	for range 20 {
		k := dial(t, addr)
		k.send("GET /tunnel HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
		k.rest()
		k = dial(t, addr)
		k.send(get)
		k.response("GET")
		k.Close()
	}
}

func TestServer_DoneTellsOfADepartedClient(t *testing.T) {
	t.Parallel()
	done := make(chan error, 1)
	addr := serve(t, handler(func(w http.ResponseWriter, r *http.Request) {
		ran := make(chan bool)
		context.AfterFunc(r.Context(), func() { close(ran) })
		select {
		case <-r.Context().Done():
			<-ran
			done <- r.Context().Err()
		case <-time.After(5 * time.Second):
			done <- nil
		}
	}))
	k := dial(t, addr)
	k.send(get)
	k.Close()
	if err := receive(t, done); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestServer_ShutdownWaitsForRequestsAndTunnels(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan bool, 2), make(chan bool)
	s := handler(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/first":
			return
		case "/tunnel":
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}

			entered <- true
			go func() {
				<-leave
				conn.Close()
				conn.Close()
			}()
			return
		}

		entered <- true
		<-leave
	})
	addr := serve(t, s)
	idle, busy, tunnelled := dial(t, addr), dial(t, addr), dial(t, addr)

	// of one that never spoke the kernel may not have told us
	idle.send("GET /first HTTP/1.1\r\nHost: x\r\n\r\n")
	idle.response("GET")
	busy.send(get)
	tunnelled.send("GET /tunnel HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
	receive(t, entered)
	receive(t, entered)
	short, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(short); !errors.Is(err, context.Canceled) {
		t.Fatal("shutdown did not wait: ", err)
	}

	if got := idle.rest(); got != "" {
		t.Errorf("%q", got)
	}
	if open, tunnels := s.Connections(); tunnels != 1 || open < 2 {
		t.Error(open, tunnels)
	}

	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("still accepting")
	}

	close(leave)
	if resp, _ := busy.response("GET"); !resp.Close {
		t.Error("the last answer does not say close")
	}

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}

	if open, tunnels := s.Connections(); open != 0 || tunnels != 0 {
		t.Error(open, tunnels)
	}
}

// TestServer_ShutdownEndsAConnectionThatBecomesIdle: its last answer had left
// before it could say close.
func TestServer_ShutdownEndsAConnectionThatBecomesIdle(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan bool), make(chan bool)
	s := handler(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		io.WriteString(w, "hello")
		w.(http.Flusher).Flush()
		close(entered)
		<-leave
	})
	k := dial(t, serve(t, s))
	k.send(get)
	<-entered
	short, cancel := context.WithCancel(context.Background())
	cancel()
	s.Shutdown(short)
	close(leave)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}

	k.rest()
}

func TestServer_CloseCutsWhatRuns(t *testing.T) {
	t.Parallel()
	entered := make(chan bool)
	s := handler(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})
	k := dial(t, serve(t, s))
	k.send(get)
	<-entered
	s.Close()
	if b, _ := io.ReadAll(k); strings.Contains(string(b), "200 OK") {
		t.Errorf("%q", b)
	}
}

// A request that waits in the buffer, behind the rest of the body before it,
// does not make the connection idle. The request after it may come at any time.
func TestServer_ARequestBehindABodyAndThenAnother(t *testing.T) {
	t.Parallel()
	var k *client
	s := handler(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/second" {
			k.send("GET /third HTTP/1.1\r\nHost: x\r\n\r\n")
		}
		io.WriteString(w, r.URL.Path)
	})
	k = dial(t, serve(t, s))
	k.send("POST /first HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
	if _, body := k.response("POST"); body != "/first" {
		t.Fatal(body)
	}

	k.send("0\r\n\r\nGET /second HTTP/1.1\r\nHost: x\r\n\r\n")
	for _, path := range []string{"/second", "/third"} {
		if _, body := k.response("GET"); body != path {
			t.Fatal(body)
		}
	}
}

// session is the Serve of a Session.
type session func() (asleep bool)

func (s session) Serve() bool { return s() }

func TestServer_HTTP2PrefaceIsHandedOverWhole(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	s := handler(hello)

	s.HTTP2 = func(c net.Conn, _ socket.Sleeper) Session {
		return session(func() bool {
			b := make([]byte, len(http2Preface)+4)
			_, err := io.ReadFull(c, b)
			if err != nil {
				t.Error(err)
			}
			got <- string(b)
			return false
		})
	}
	k := dial(t, serve(t, s))
	k.send(http2Preface[:10])
	k.send(http2Preface[10:] + "next")
	if s := receive(t, got); s != http2Preface+"next" {
		t.Errorf("%q", s)
	}
}

func TestServer_TooManyConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	s := handler(hello)
	s.MaxConnections = 1
	addr := serve(t, s)
	first := dial(t, addr)
	first.send(get)
	first.response("GET")
	second := dial(t, addr)
	if b, _ := io.ReadAll(second); len(b) > 0 {
		t.Errorf("%q", b)
	}

	first.send(get)
	first.response("GET")
}

// exhaustedListener runs out of descriptors at first.
type exhaustedListener struct {
	net.Listener
	left atomic.Int32
}

func (l *exhaustedListener) Accept() (net.Conn, error) {
	if l.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

func TestServer_OutOfDescriptorsIsWaitedOut(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	l := &exhaustedListener{Listener: inner}
	l.left.Store(3)
	serveOn(t, handler(hello), l)
	k := dial(t, inner.Addr().String())
	k.send(get)
	k.response("GET")
}

// TestServer_AnyConnection: what is no TCP socket is served by net.Conn's own
// methods.
func TestServer_AnyConnection(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	s := handler(echo)
	l := &oneListener{conns: make(chan net.Conn, 1), closed: make(chan bool)}
	l.conns <- theirs
	serveOn(t, s, l)

	k := &client{t, ours, bufio.NewReader(ours)}
	for range 3 {
		k.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
		if _, body := k.response("POST"); body != "hi" {
			t.Error(body)
		}
	}

	ours.Close()
}

func TestServer_SlowHeadOnAnyConnection(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	l := &oneListener{conns: make(chan net.Conn, 1), closed: make(chan bool)}
	l.conns <- theirs
	serveOn(t, &Server{Handler: http.HandlerFunc(echo), HeaderTimeout: 50 * time.Millisecond, IdleTimeout: time.Minute}, l)
	k := &client{t, ours, bufio.NewReader(ours)}
	defer ours.Close()
	k.send("GET / HTTP/1.1\r\nHost")
	if resp, _ := k.response("GET"); resp.StatusCode != 408 {
		t.Error(resp)
	}
}

// starved is a connection of a program that got no CPU for as long as a head
// may take: the rest of the head has come, and the deadline has passed as well.
type starved struct {
	net.Conn
	pieces   []string
	deadline atomic.Pointer[time.Time]
}

func (s *starved) SetReadDeadline(at time.Time) error {
	s.deadline.Store(&at)
	return nil
}

func (s *starved) Read(p []byte) (int, error) {
	if piece := s.pieces[0]; piece != "" {
		s.pieces = s.pieces[1:]
		return copy(p, piece), nil
	}

	time.Sleep(time.Until(*s.deadline.Load()))
	if len(s.pieces) > 1 {
		s.pieces = s.pieces[1:]
	}

	return 0, os.ErrDeadlineExceeded
}

func TestServer_WhatCameInTimeIsReadWhenItIsLate(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer ours.Close()
	l := &oneListener{conns: make(chan net.Conn, 1), closed: make(chan bool)}
	l.conns <- &starved{Conn: theirs, pieces: []string{"GET / HTTP/1.1\r\nHost", "", ": x\r\n\r\n", ""}}
	serveOn(t, &Server{Handler: handler(hello).Handler, HeaderTimeout: 20 * time.Millisecond,
		IdleTimeout: 20 * time.Millisecond}, l)
	k := &client{t, ours, bufio.NewReader(ours)}
	if resp, body := k.response("GET"); resp.StatusCode != 200 || body != "hello" {
		t.Error(resp.StatusCode, body)
	}
}

type oneListener struct {
	conns  chan net.Conn
	closed chan bool
	once   sync.Once
}

func (l *oneListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *oneListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *oneListener) Addr() net.Addr { return &net.TCPAddr{} }

func TestServer_EmptyLineBeforeAHeadInPieces(t *testing.T) {
	t.Parallel()
	addr := serve(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.RequestURI)
	})})
	c := dial(t, addr)
	for _, piece := range []string{"\r\n", "GET /a HTTP/1.1\r", "\nHost: x\r\n", "\r\n"} {
		c.send(piece)
	}

	if _, body := c.response("GET"); body != "/a" {
		t.Errorf("answered %q", body)
	}
}
