package h1

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// serve starts a server for a test and ends it with the test.
func serve(t testing.TB, s *Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	serveOn(t, s, socket.LazyListener(l))
	return l.Addr().String()
}

func serveOn(t testing.TB, s *Server, l net.Listener) {
	var served sync.WaitGroup
	served.Go(func() { s.Serve(l) })
	t.Cleanup(func() {
		s.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("connections left behind: %v", err)
		}

		served.Wait()
	})
}

// client is a raw client.
type client struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func dial(t testing.TB, addr string) *client {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return &client{t, c, bufio.NewReader(c)}
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatal(err)
	}
}

// response reads one response with its body.
func (c *client) response(method string) (*http.Response, string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatal("no response: ", err)
	}

	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("body: %v after %q", err, b)
	}

	return resp, string(b)
}

// rest reads to the end of the connection.
func (c *client) rest() string {
	c.t.Helper()
	b, err := io.ReadAll(c.r)
	if err != nil {
		c.t.Fatalf("%v after %q", err, b)
	}

	return string(b)
}

// backend is a raw backend: each connection is given to the script, with the
// number of connections before it.
func backend(t testing.TB, script func(n int, c *client)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	var work sync.WaitGroup
	work.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}

			c.SetDeadline(time.Now().Add(10 * time.Second))
			work.Go(func() {
				defer c.Close()
				script(n, &client{t, c, bufio.NewReader(c)})
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		work.Wait()
	})

	return l.Addr().String()
}

// head reads a request's head as it is on the wire; "" at the end.
func (c *client) head() string {
	var b strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return ""
		}

		b.WriteString(line)
		if line == "\r\n" {
			return b.String()
		}
	}
}

// answering is a backend that gives each request without a body the same
// answer.
func answering(t testing.TB, answer string) string {
	return backend(t, func(_ int, c *client) {
		for c.head() != "" {
			io.WriteString(c, answer)
		}
	})
}

// relay is a handler as the proxy's is: it relays to one transport and keeps to
// the habits that h1 is made for.
type relay struct {
	t    *Transport
	call func(w http.ResponseWriter, r *http.Request, c *wire.Call)
	errs chan *wire.Error // of Send and of the body, when there is room
}

func newRelay(address string) *relay {
	return &relay{t: &Transport{Address: address}, errs: make(chan *wire.Error, 100)}
}

func (p *relay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &wire.Call{Upgrade: wire.EqualFold(r.Header.Get("Upgrade"), "websocket")}
	c.Informational = func(code int, header http.Header) {
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(code)
		clear(w.Header())
	}
	if p.call != nil {
		p.call(w, r, c)
	}

	resp, err := p.t.Send(r, c)
	if err != nil {
		p.note(err)
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	for name, values := range resp.Header {
		w.Header()[name] = values
	}

	if resp.StatusCode == http.StatusSwitchingProtocols {
		p.tunnel(w, resp)
		return
	}

	for name := range resp.Trailer {
		w.Header().Add("Trailer", name)
	}

	w.WriteHeader(resp.StatusCode)
	p.body(w, resp)
	for name, values := range resp.Trailer {
		w.Header()[http.TrailerPrefix+name] = values
	}
}

func (p *relay) note(err error) {
	select {
	case p.errs <- err.(*wire.Error):
	default:
	}
}

func (p *relay) body(w http.ResponseWriter, resp *http.Response) {
	if resp.ContentLength >= 64<<10 {
		if _, err := w.(io.ReaderFrom).ReadFrom(resp.Body); err != nil {
			if e, ok := err.(*wire.Error); ok {
				p.note(e)
			}
			panic(http.ErrAbortHandler)
		}
		return
	}

	buf := make([]byte, 16<<10)
	for {
		n, err := resp.Body.Read(buf)
		if _, werr := w.Write(buf[:n]); werr != nil && n > 0 {
			panic(http.ErrAbortHandler)
		}
		if err == io.EOF {
			return
		}

		if err != nil {
			p.note(err)
			panic(http.ErrAbortHandler)
		}

		w.(http.Flusher).Flush()
	}
}

func (p *relay) tunnel(w http.ResponseWriter, resp *http.Response) {
	w.WriteHeader(resp.StatusCode)
	conn, brw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	up := resp.Body.(*Upgraded)
	var down sync.WaitGroup
	down.Go(func() {
		io.Copy(conn, up)
		conn.(*Tunnel).CloseWrite()
	})
	io.Copy(up, brw.Reader)
	up.CloseWrite()
	down.Wait()
}

// through starts a server that relays to an address.
func through(t testing.TB, address string) (addr string, p *relay) {
	p = newRelay(address)
	t.Cleanup(p.t.CloseIdle)
	return serve(t, &Server{Handler: p, StallTimeout: 5 * time.Second, HeaderTimeout: 5 * time.Second,
		IdleTimeout: time.Minute}), p
}

// echo is a handler that says what it got.
func echo(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}

	w.Header().Set("X-Got", r.Method+" "+r.RequestURI)
	io.Copy(w, bytes.NewReader(b))
}

// receive reads from a channel, not for ever.
func receive[T any](t testing.TB, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(5 * time.Second):
		t.Fatal("nothing came")
	}
	return v
}

// nowhere is a connection that swallows everything.
type nowhere struct{ net.Conn }

func (nowhere) Write(p []byte) (int, error)      { return len(p), nil }
func (nowhere) Close() error                     { return nil }
func (nowhere) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (nowhere) SetReadDeadline(time.Time) error  { return nil }
func (nowhere) SetWriteDeadline(time.Time) error { return nil }
