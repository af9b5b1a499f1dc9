package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/discovery"
	"github.com/pillion-lb/pillion/proxy/backend"
	"github.com/pillion-lb/pillion/proxy/h1"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// engine is a pair of server and transport below the one proxy: ours, or
// net/http's. The messages are the same.
type engine struct {
	name  string
	serve func(t *testing.T, h http.Handler) string
	dial  func(address string) backend.Transport
}

var engines = []engine{
	{"h1", serveOwn, func(address string) backend.Transport { return &h1.Transport{Address: address} }},
	{"net/http", serveStandard, func(address string) backend.Transport {
		return &standard{address: address,
			transport: &http.Transport{DisableCompression: true, ExpectContinueTimeout: time.Second}}
	}},
}

func serveOwn(t *testing.T, h http.Handler) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	s := &h1.Server{Handler: h}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-served
	})

	return l.Addr().String()
}

// serveStandard asks for full duplex, without which net/http's server waits for
// the body before it sends an answer.
func serveStandard(t *testing.T, h http.Handler) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		r.Body = &interruptible{r.Body, http.NewResponseController(w)}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})

	return s.Listener.Addr().String()
}

// interruptible is a body whose Close ends a read in progress. That of
// net/http's HTTP/1 server waits for it instead.
type interruptible struct {
	io.ReadCloser
	control *http.ResponseController
}

func (b *interruptible) Close() error {
	_ = b.control.SetReadDeadline(time.Unix(1, 0))
	return b.ReadCloser.Close()
}

// standard is net/http's Transport as a transport.
type standard struct {
	address   string
	transport *http.Transport
}

func (*standard) MovesBody() bool { return false }

func (s *standard) Idle() int  { return 0 }
func (s *standard) CloseIdle() { s.transport.CloseIdleConnections() }

// Send copies the request and applies the overlay to the copy.
func (s *standard) Send(r *http.Request, c *wire.Call) (*http.Response, error) {
	trace := &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			// Its transport lets the body go before it calls this, and its
			// server says 100 as the body is read: a 100 of ours would at times
			// be the second.
			if c.Informational != nil && code != http.StatusContinue {
				c.Informational(code, http.Header(h))
			}
			return nil
		},
	}
	out := r.Clone(httptrace.WithClientTrace(r.Context(), trace))
	out.Trailer = r.Trailer // is filled while the body is read
	out.URL.Scheme, out.URL.Host, out.RequestURI = "http", s.address, ""
	if c.Host != "" {
		out.Host = c.Host
	}

	for _, f := range c.Fields {
		out.Header.Del(f.Name)
		if f.Value != "" {
			out.Header.Set(f.Name, f.Value)
		}
	}

	if out.ContentLength == 0 {
		out.Body = nil
	} else if c.Body != nil {
		out.Body = c.Body
	}

	resp, err := s.transport.RoundTrip(out)
	if err != nil {
		e := &wire.Error{Outcome: wire.NoAnswer, Phase: wire.Head, Err: err}
		if client, ok := errors.AsType[*wire.Error](err); ok {
			e = client
		} else if r.Context().Err() != nil {
			e.Client = wire.Gone
		}
		return nil, e
	}

	c.FirstByte = time.Now()
	return resp, nil
}

// rig is one engine with the proxy in the middle and an app of net/http behind.
type rig struct {
	t       *testing.T
	address string
	gone    chan struct{} // the app's context ended
}

func newRig(t *testing.T, e engine) *rig {
	r := &rig{t: t, gone: make(chan struct{}, 1)}
	app := httptest.NewServer(http.HandlerFunc(r.app))
	t.Cleanup(app.Close)
	up := e.dial(app.Listener.Addr().String())
	t.Cleanup(up.CloseIdle)
	p := testProxy(t, Options{dial: func(discovery.Backend) (http1, http2 backend.Transport) { return up, up }}, nil,
		"LB_RETRIES=0")
	p.Update(named("a"))
	r.address = e.serve(t, p)

	return r
}

// app does what its path says.
func (r *rig) app(w http.ResponseWriter, q *http.Request) {
	switch q.URL.Path {
	case "/echo":
		b, err := io.ReadAll(q.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, "%s %d %v %s trailer=%s", q.Method, q.ContentLength, q.TransferEncoding, b, q.Trailer.Get("X-Sum"))
	case "/count":
		n, _ := io.Copy(io.Discard, q.Body)
		fmt.Fprint(w, n)
	case "/large":
		w.Header().Set("Content-Length", fmt.Sprint(8<<20))
		_, _ = io.WriteString(w, strings.Repeat("a", 8<<20))
	case "/trailers":
		w.Header().Set("Trailer", "X-Announced")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Announced", "1")
		w.Header().Set(http.TrailerPrefix+"X-Unannounced", "2")
	case "/hints":
		w.Header().Set("Link", "</a>")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		_, _ = io.WriteString(w, "after hints")
	case "/stream":
		_, _ = io.WriteString(w, "first")
		_ = http.NewResponseController(w).Flush()
		<-q.Context().Done()
		r.gone <- struct{}{}
	case "/nothing":
		w.WriteHeader(http.StatusNoContent)
	case "/same":
		w.Header().Set("Etag", `"x"`)
		w.WriteHeader(http.StatusNotModified)
	case "/early":
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	case "/cut":
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	default:
		_, _ = io.WriteString(w, "hello")
	}
}

// engineClient is a connection to the proxy.
type engineClient struct {
	net.Conn
	in *bufio.Reader
	t  *testing.T
}

func (r *rig) connect() *engineClient {
	r.t.Helper()
	c, err := net.Dial("tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}

	r.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return &engineClient{c, bufio.NewReader(c), r.t}
}

// send writes a request and what belongs behind its head.
func (c *engineClient) send(line, body string, fields ...string) {
	head := line + " HTTP/1.1\r\nHost: app.example\r\n"
	for _, f := range fields {
		head += f + "\r\n"
	}
	_, _ = io.WriteString(c, head+"\r\n"+body)
}

// head reads a response without its body.
func (c *engineClient) head(method string) *http.Response {
	c.t.Helper()
	resp, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		c.t.Fatal("no response: ", err)
	}

	return resp
}

// want reads a response whole and compares its status and body.
func (c *engineClient) want(method string, status int, body string) *http.Response {
	c.t.Helper()
	resp := c.head(method)
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status || string(b) != body {
		c.t.Fatalf("%d %.100q %v, want %d %.100q", resp.StatusCode, b, err, status, body)
	}

	return resp
}

// messages are the promises, one exchange after the other on one connection
// where they do not end it.
var messages = []struct {
	name string
	run  func(c *engineClient, r *rig)
}{
	{"GET", func(c *engineClient, _ *rig) { c.send("GET /", ""); c.want("GET", 200, "hello") }},
	{"HTTP/1.0", func(c *engineClient, _ *rig) {
		_, _ = io.WriteString(c, "GET / HTTP/1.0\r\nHost: x\r\n\r\n")
		c.want("GET", 200, "hello")
		if _, err := c.in.ReadByte(); err != io.EOF {
			c.t.Errorf("the connection did not end: %v", err)
		}
	}},
	{"keep-alive and pipelining", func(c *engineClient, _ *rig) {
		for range 3 {
			c.send("GET /", "")
			c.send("POST /echo", "abc", "Content-Length: 3")
		}

		for range 3 {
			c.want("GET", 200, "hello")
			c.want("POST", 200, "POST 3 [] abc trailer=")
		}
	}},
	{"POST", func(c *engineClient, _ *rig) {
		c.send("POST /echo", "hello", "Content-Length: 5")
		c.want("POST", 200, "POST 5 [] hello trailer=")
	}},
	{"a body of nothing", func(c *engineClient, _ *rig) {
		c.send("POST /echo", "", "Content-Length: 0")
		c.want("POST", 200, "POST 0 []  trailer=")
	}},
	{"chunks", func(c *engineClient, _ *rig) {
		c.send("POST /echo", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "Transfer-Encoding: chunked")
		c.want("POST", 200, "POST -1 [chunked] hello trailer=")
	}},
	{"a trailer of the client", func(c *engineClient, _ *rig) {
		c.send("POST /echo", "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", "Transfer-Encoding: chunked", "Trailer: X-Sum")
		c.want("POST", 200, "POST -1 [chunked] hello trailer=1")
	}},
	{"trailers of the backend", func(c *engineClient, _ *rig) {
		c.send("GET /trailers", "", "TE: trailers")
		resp := c.want("GET", 200, "body")
		if resp.Trailer.Get("X-Announced") != "1" || resp.Trailer.Get("X-Unannounced") != "2" {
			c.t.Errorf("trailers %v", resp.Trailer)
		}
	}},
	{"1xx", func(c *engineClient, _ *rig) {
		c.send("GET /hints", "")
		if resp := c.head("GET"); resp.StatusCode != 103 || resp.Header.Get("Link") != "</a>" {
			c.t.Errorf("%d %v", resp.StatusCode, resp.Header)
		}
		if resp := c.want("GET", 200, "after hints"); resp.Header.Get("Link") != "" {
			c.t.Error("a field of the 103 is in the final head")
		}
	}},
	{"HEAD", func(c *engineClient, _ *rig) {
		c.send("HEAD /large", "")
		if resp := c.want("HEAD", 200, ""); resp.ContentLength != 8<<20 {
			c.t.Errorf("length %d", resp.ContentLength)
		}
		c.send("GET /", "")
		c.want("GET", 200, "hello")
	}},
	{"204", func(c *engineClient, _ *rig) {
		c.send("GET /nothing", "")
		if resp := c.want("GET", 204, ""); resp.Header["Content-Length"] != nil || resp.TransferEncoding != nil {
			c.t.Errorf("a 204 with a framing: %v %v", resp.Header, resp.TransferEncoding)
		}
	}},
	{"304", func(c *engineClient, _ *rig) {
		c.send("GET /same", "")
		if resp := c.want("GET", 304, ""); resp.Header.Get("Etag") != `"x"` {
			c.t.Errorf("%v", resp.Header)
		}
		c.send("GET /", "")
		c.want("GET", 200, "hello")
	}},
	{"a large answer", func(c *engineClient, _ *rig) {
		c.send("GET /large", "")
		c.want("GET", 200, strings.Repeat("a", 8<<20))
	}},
	{"a large body", func(c *engineClient, _ *rig) {
		c.send("POST /count", strings.Repeat("a", 8<<20), fmt.Sprint("Content-Length: ", 8<<20))
		c.want("POST", 200, fmt.Sprint(8<<20))
	}},
	{"a large chunk", func(c *engineClient, _ *rig) {
		c.send("POST /count", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", 8<<20, strings.Repeat("a", 8<<20)),
			"Transfer-Encoding: chunked")
		c.want("POST", 200, fmt.Sprint(8<<20))
	}},
	{"Expect", func(c *engineClient, _ *rig) {
		c.send("POST /echo", "", "Expect: 100-continue", "Content-Length: 5")
		if resp := c.head("POST"); resp.StatusCode != 100 {
			c.t.Fatalf("status %d before the body", resp.StatusCode)
		}
		_, _ = io.WriteString(c, "hello")
		c.want("POST", 200, "POST 5 [] hello trailer=")
	}},
	{"an answer before the body", func(c *engineClient, _ *rig) {
		c.send("POST /early", "", "Content-Length: 10000000")
		c.want("POST", 413, "")
	}},
	{"a cut answer stays cut", func(c *engineClient, _ *rig) {
		c.send("GET /cut", "")
		if b, err := io.ReadAll(c.head("GET").Body); err == nil || string(b) != "half" {
			c.t.Errorf("%q %v", b, err)
		}
	}},
	{"a stream is seen at once, and its end when the client leaves", func(c *engineClient, r *rig) {
		c.send("GET /stream", "")
		b := make([]byte, 5)
		if _, err := io.ReadFull(c.head("GET").Body, b); err != nil || string(b) != "first" {
			c.t.Fatalf("%q %v", b, err)
		}

		_ = c.Close()
		select {
		case <-r.gone:
		case <-time.After(30 * time.Second):
			c.t.Error("the backend did not learn that the client left")
		}
	}},
}

// TestEngines_SameMessages: what the proxy says and does is no matter of who
// reads and writes the bytes.
func TestEngines_SameMessages(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		for _, m := range messages {
			t.Run(e.name+"/"+m.name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, e)
				m.run(r.connect(), r)
			})
		}
	}
}

// TestEngines_Strictness lists all that ours refuses and net/http's serves; a
// case that both treat alike is not among them.
func TestEngines_Strictness(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]string{
		"CL and TE": "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: " +
			"chunked\r\n\r\n0\r\n\r\n",
		"two lengths that agree": "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
		"LF only":                "GET / HTTP/1.1\nHost: x\n\n",
		"a folded line":          "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, e := range engines {
				c := newRig(t, e).connect()
				_, _ = io.WriteString(c, request)
				resp := c.head("POST")
				if want := map[string]int{"h1": 400, "net/http": 200}[e.name]; resp.StatusCode != want {
					t.Errorf("%s: status %d, want %d", e.name, resp.StatusCode, want)
				}
			}
		})
	}
}
