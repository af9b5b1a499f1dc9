//go:build linux && (amd64 || arm64)

package h1

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// watched tells of each socket that it accepts.
type watched struct {
	net.Listener
	sockets chan *socket
}

func (l *watched) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if s, ok := c.(*socket); ok {
		l.sockets <- s
	}
	return c, err
}

// watch starts a server that tells of its sockets.
func watch(t *testing.T, s *Server, address string) (string, <-chan *socket) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Skip(err)
	}
	w := &watched{Lightly(l), make(chan *socket, 10)}
	serveOn(t, s, w)
	return l.Addr().String(), w.sockets
}

// kind is what the poller knows a socket as.
func (s *socket) kind() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.polled == nil {
		return "bare"
	}
	return "polled"
}

func TestSocket_IsBareUntilSomethingHasToWait(t *testing.T) {
	t.Parallel()
	streaming := func(w http.ResponseWriter, r *http.Request) {
		for _, piece := range []string{"hel", "lo"} {
			io.WriteString(w, piece)
			w.(http.Flusher).Flush()
		}
	}
	for _, c := range []struct {
		name, request string
		handler       http.HandlerFunc
		end           bool
		kind          string
	}{
		{"a request that is there", lastGet, hello, true, "bare"},
		{"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", hello, true, "bare"},
		{"a small body", "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", echo, true, "bare"},
		{"a refusal", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", hello, false, "polled"}, // is lingered on
		{"an answer in two writes", lastGet, streaming, true, "polled"},
		{"another request may come", get, hello, false, "polled"},
		{"a large body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n\r\n" + strings.Repeat("x", 40000), echo, false, "polled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			accepted := make(chan *socket, 1)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s := &Server{Handler: c.handler, StallTimeout: 5 * time.Second, IdleTimeout: time.Minute}
			k := dial(t, l.Addr().String())
			k.send(c.request) // before anybody can accept
			serveOn(t, s, &watched{Lightly(l), accepted})
			_, body := k.response("GET")
			if strings.Contains(c.request, "40000") && len(body) != 40000 {
				t.Errorf("%d bytes", len(body))
			}
			socket := receive(t, accepted)
			if c.end {
				k.rest()
			} else {
				awaitKind(t, socket, c.kind)
			}
			if got := socket.kind(); got != c.kind {
				t.Errorf("it is %s, not %s", got, c.kind)
			}
		})
	}
}

// awaitKind waits for the server to go on after its answer.
func awaitKind(t *testing.T, s *socket, want string) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); s.kind() != want && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
}

// TestSocket_LargeBodiesGoOnAfterSmallOnes: a body that is spliced comes from a socket that began bare.
func TestSocket_LargeBodiesGoOnAfterSmallOnes(t *testing.T) {
	t.Parallel()
	addr, sockets := watch(t, &Server{Handler: http.HandlerFunc(echo), StallTimeout: 5 * time.Second, IdleTimeout: time.Minute}, "127.0.0.1:0")
	k := dial(t, addr)
	large := strings.Repeat("abcdefgh", 16<<10)
	for _, body := range []string{"", large, "small", large} {
		k.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
		if _, got := k.response("POST"); got != body {
			t.Fatalf("%d bytes came back as %d", len(body), len(got))
		}
	}
	if s := receive(t, sockets); s.kind() != "polled" {
		t.Error(s.kind())
	}
}

func TestSocket_KnowsBothAddresses(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", ":0"} {
		local := make(chan net.Addr, 2)
		addr, sockets := watch(t, handler(func(w http.ResponseWriter, r *http.Request) {
			local <- r.Context().Value(http.LocalAddrContextKey).(net.Addr)
			io.WriteString(w, r.RemoteAddr)
		}), address)
		k := dial(t, strings.Replace(addr, "[::]", "127.0.0.1", 1))
		for _, request := range []string{get, lastGet} { // bare, and not any more
			k.send(request)
			if _, body := k.response("GET"); body != k.LocalAddr().String() {
				t.Errorf("%s is said to be %s", k.LocalAddr(), body)
			}
			if got := receive(t, local); got.String() != k.RemoteAddr().String() {
				t.Errorf("%s is said to be %s", k.RemoteAddr(), got)
			}
		}
		if s := receive(t, sockets); s.RemoteAddr().String() != k.LocalAddr().String() {
			t.Error(s.RemoteAddr())
		}
	}
}

// TestSocket_ClosedIsClosed whether or not the poller knew it.
func TestSocket_ClosedIsClosed(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{false, true} {
		s, k := accepted(t)
		if known {
			s.poll()
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		k.rest()
		if _, err := s.Read(make([]byte, 1)); err == nil {
			t.Error("read")
		}
		if _, err := s.Write([]byte("x")); err == nil {
			t.Error("written")
		}
		if s.SetDeadline(past) == nil || s.CloseWrite() == nil || s.raw().Read(func(uintptr) bool { return true }) == nil || s.Close() == nil {
			t.Error("closed, and yet it works")
		}
	}
}

// accepted is both ends of a connection.
func accepted(t *testing.T) (*socket, *client) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	light := Lightly(l)
	defer light.Close()
	k := dial(t, light.Addr().String())
	k.send("x")
	c, err := light.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s := c.(*socket)
	if n, errno := rawRead(s.fd, make([]byte, 9)); n != 1 || errno != 0 {
		t.Fatal(n, errno)
	}
	return s, k
}

// TestSocket_OthersMayLookWhileItIsClosed: nobody else's descriptor is looked at or shut down.
func TestSocket_OthersMayLookWhileItIsClosed(t *testing.T) {
	t.Parallel()
	for range 50 {
		s, _ := accepted(t)
		var others sync.WaitGroup
		others.Go(func() { s.raw().Control(func(fd uintptr) { rawPeek(int(fd)) }) })
		others.Go(func() { s.CloseRead(); s.SetDeadline(past) })
		s.Close()
		others.Wait()
		s.Close() // a deadline may have come first
	}
}

// TestListener_EndsWithItsServer leaves no descriptor and frees the port.
func TestListener_EndsWithItsServer(t *testing.T) {
	for name, end := range map[string]func(*Server, net.Listener){
		"Shutdown": func(s *Server, _ net.Listener) { s.Shutdown(context.Background()) },
		"Close":    func(s *Server, _ net.Listener) { s.Close() },
		"listener": func(_ *Server, l net.Listener) { l.Close() },
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		light, s, served := Lightly(l), handler(hello), make(chan error, 1)
		go func() { served <- s.Serve(light) }()
		k := dial(t, light.Addr().String())
		k.send(lastGet)
		k.response("GET")
		k.rest()
		end(s, light)
		if err := receive(t, served); errors.Is(err, http.ErrServerClosed) != (name != "listener") {
			t.Errorf("%s: %v", name, err)
		}
		again, err := net.Listen("tcp", light.Addr().String())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		again.Close()
		s.Close()
	}
}

func TestLightly_LeavesOthersAlone(t *testing.T) {
	l := &oneListener{}
	if Lightly(l) != net.Listener(l) {
		t.Error("replaced")
	}
}

// TestListener_AcceptsTheSilent, though later than those who speak.
func TestListener_AcceptsTheSilent(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	light := Lightly(l)
	defer light.Close()
	dial(t, light.Addr().String())
	arrived := make(chan net.Conn, 1)
	go func() {
		c, _ := light.Accept()
		arrived <- c
	}()
	if c := receive(t, arrived); c != nil {
		c.Close()
	}
}

// TestListener_DrainWaitsForNobodyToSpeak: who is connected when a listener closes has to be known by then.
func TestListener_DrainWaitsForNobodyToSpeak(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	light, s := Lightly(l), handler(hello)
	patience := func() (seconds int) {
		light.(*listener).raw.Control(func(fd uintptr) {
			seconds, _ = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_DEFER_ACCEPT)
		})
		return seconds
	}
	serveOn(t, s, light)
	if got := patience(); got != silence {
		t.Errorf("it waits for %d s at first", got)
	}
	k := dial(t, light.Addr().String())
	k.send(lastGet)
	k.response("GET") // it serves by now
	s.Drain()
	if got := patience(); got != 0 {
		t.Errorf("it still waits for %d s", got)
	}
}
