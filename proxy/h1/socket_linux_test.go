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
	"syscall"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
)

// watched tells of each socket that it accepts.
type watched struct {
	net.Listener
	sockets chan *socket.Conn
}

func (l *watched) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if s, ok := c.(*socket.Conn); ok {
		l.sockets <- s
	}
	return c, err
}

// watch starts a server that tells of its sockets.
func watch(t *testing.T, s *Server, address string) (string, <-chan *socket.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Skip(err)
	}

	w := &watched{socket.LazyListener(l), make(chan *socket.Conn, 10)}
	serveOn(t, s, w)
	return l.Addr().String(), w.sockets
}

// kindOf is what the poller knows a socket as.
func kindOf(s *socket.Conn) string {
	if s.IsBare() {
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
		{"a small body", "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", echo, true,
			"bare"},
		// is lingered on
		{"a refusal", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", hello, false, "polled"},
		{"an answer in two writes", lastGet, streaming, true, "polled"},
		{"another request may come", get, hello, false, "polled"},
		{"a large body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n\r\n" + strings.Repeat("x", 40000), echo,
			false, "polled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			accepted := make(chan *socket.Conn, 1)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}

			s := &Server{Handler: c.handler, StallTimeout: 5 * time.Second, IdleTimeout: time.Minute}
			k := dial(t, l.Addr().String())
			k.send(c.request) // before anybody can accept
			serveOn(t, s, &watched{socket.LazyListener(l), accepted})
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

			if got := kindOf(socket); got != c.kind {
				t.Errorf("it is %s, not %s", got, c.kind)
			}
		})
	}
}

// awaitKind waits for the server to go on after its answer.
func awaitKind(t *testing.T, s *socket.Conn, want string) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); kindOf(s) != want && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
}

// TestSocket_LargeBodiesGoOnAfterSmallOnes: a body that is spliced comes from a
// socket that began bare.
func TestSocket_LargeBodiesGoOnAfterSmallOnes(t *testing.T) {
	t.Parallel()
	addr, sockets := watch(t, &Server{Handler: http.HandlerFunc(echo), StallTimeout: 5 * time.Second,
		IdleTimeout: time.Minute}, "127.0.0.1:0")
	k := dial(t, addr)

	large := strings.Repeat("abcdefgh", 16<<10)
	for _, body := range []string{"", large, "small", large} {
		k.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
		if _, got := k.response("POST"); got != body {
			t.Fatalf("%d bytes came back as %d", len(body), len(got))
		}
	}

	if s := receive(t, sockets); kindOf(s) != "polled" {
		t.Error(kindOf(s))
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

		light, s, served := socket.LazyListener(l), handler(hello), make(chan error, 1)
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

// TestListener_DrainWaitsForNobodyToSpeak: who is connected when a listener
// closes has to be known by then.
func TestListener_DrainWaitsForNobodyToSpeak(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	light, s := socket.LazyListener(l), handler(hello)
	raw, err := light.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}

	patience := func() (seconds int) {
		raw.Control(func(fd uintptr) {
			seconds, _ = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_DEFER_ACCEPT)
		})
		return seconds
	}
	serveOn(t, s, light)
	if got := patience(); got == 0 {
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
