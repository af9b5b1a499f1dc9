package h1

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// goBackend is net/http's own server.
func goBackend(t testing.TB, h http.HandlerFunc) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestRelay_OrdinaryTraffic(t *testing.T) {
	t.Parallel()
	addr, _ := through(t, goBackend(t, echo))

	large := strings.Repeat("0123456789abcdef", 40_000)
	for _, c := range []struct{ name, method, request, body string }{
		{"get", "GET", "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n", ""},
		{"post", "POST", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "hello"},
		{"chunked", "POST", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: " +
			"chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", "hello"},
		{"large", "PUT", fmt.Sprintf("PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(large), large), large},
		{"old", "GET", "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", ""},
		{"absolute", "GET", "GET http://y/a HTTP/1.1\r\nHost: x\r\n\r\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := dial(t, addr)
			for range 3 {
				go io.WriteString(k, c.request)
				resp, body := k.response(c.method)
				if resp.StatusCode != 200 || body != c.body || !strings.HasPrefix(resp.Header.Get("X-Got"), c.method+" /a") {
					t.Fatalf("%v, %d bytes of %d", resp, len(body), len(c.body))
				}
			}
		})
	}
}

func TestRelay_PipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	addr, _ := through(t, goBackend(t, echo))
	k := dial(t, addr)
	var all strings.Builder
	for i := range 300 {
		fmt.Fprintf(&all, "POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n%03d\r\n", i, i)
	}

	go io.WriteString(k, all.String())
	for i := range 300 {
		resp, body := k.response("POST")
		if body != fmt.Sprintf("%03d", i) || resp.Header.Get("X-Got") != fmt.Sprintf("POST /%d", i) {
			t.Fatalf("%d: %v %q", i, resp.Header, body)
		}
	}
}

func TestRelay_LargeBodiesArriveWhole(t *testing.T) {
	t.Parallel()
	const size = 3 << 20
	block := strings.Repeat("0123456789abcdef", 1<<10)

	addr, _ := through(t, goBackend(t, func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, _ := io.Copy(sum, r.Body)
		w.Header().Set("X-Sum", fmt.Sprintf("%d %x", n, sum.Sum(nil)))
		w.Header().Set("Content-Length", fmt.Sprint(size))
		for range size / len(block) {
			io.WriteString(w, block)
		}
	}))
	want := sha256.Sum256([]byte(strings.Repeat(block, size/len(block))))
	k := dial(t, addr)

	go func() {
		fmt.Fprintf(k, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", size)
		for range size / len(block) {
			io.WriteString(k, block)
		}
	}()
	resp, body := k.response("POST")
	if got := fmt.Sprintf("%d %x", size, want); resp.Header.Get("X-Sum") != got {
		t.Errorf("the backend got %s", resp.Header.Get("X-Sum"))
	}

	if sha256.Sum256([]byte(body)) != want {
		t.Errorf("the client got %d other bytes", len(body))
	}
}

func TestRelay_TrailersAndInterimResponses(t *testing.T) {
	t.Parallel()
	addr, _ := through(t, goBackend(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "one")
		w.(http.Flusher).Flush()
		io.WriteString(w, "two")
		w.Header().Set("X-Sum", "sum of "+r.Trailer.Get("X-Sent"))
	}))
	k := dial(t, addr)
	k.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sent\r\n\r\n1\r\na\r\n0\r\nX-Sent: " +
		"mine\r\n\r\n")
	hints, _ := k.response("POST")
	if hints.StatusCode != 103 || hints.Header.Get("Link") == "" {
		t.Fatal(hints)
	}

	resp, body := k.response("POST")
	if body != "onetwo" || resp.Trailer.Get("X-Sum") != "sum of mine" || resp.Header.Get("Link") != "" {
		t.Fatal(resp, body, resp.Trailer)
	}
}

func TestRelay_HeadAndBodylessStatus(t *testing.T) {
	t.Parallel()
	addr, _ := through(t, goBackend(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(204)
		case "/304":
			w.Header().Set("Content-Length", "7")
			w.WriteHeader(304)
		default:
			w.Header().Set("Content-Length", "7")
			io.WriteString(w, "content")
		}
	}))

	k := dial(t, addr)
	for _, c := range []struct {
		method, path, length string
		status               int
	}{{"HEAD", "/", "7", 200}, {"GET", "/204", "", 204}, {"GET", "/304", "", 304}, {"GET", "/", "7", 200}} {
		k.send(c.method + " " + c.path + " HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, _ := k.response(c.method)
		if resp.StatusCode != c.status || resp.Header.Get("Content-Length") != c.length {
			t.Errorf("%s %s: %v", c.method, c.path, resp)
		}
	}
}

func TestRelay_WebSocketTunnel(t *testing.T) {
	t.Parallel()
	addr, _ := through(t, backend(t, func(_ int, c *client) {
		if head := c.head(); !strings.Contains(head, "Upgrade: websocket\r\n") ||
			!strings.Contains(head, "Connection: Upgrade\r\n") {
			c.t.Errorf("%q", head)
		}
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nglued")
		io.Copy(c, c.r)
	}))
	k := dial(t, addr)
	k.send("GET /chat HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
	if head := k.head(); !strings.HasPrefix(head, "HTTP/1.1 101 ") || !strings.Contains(head, "Upgrade: websocket\r\n") {
		t.Fatalf("%q", head)
	}

	k.send(" late")
	k.Conn.(interface{ CloseWrite() error }).CloseWrite()
	if got := k.rest(); got != "gluedearly late" {
		t.Errorf("%q", got)
	}
}

func TestRelay_UnaskedSwitchIsABrokenAnswer(t *testing.T) {
	t.Parallel()
	for _, head := range []string{"Upgrade: h2c\r\n\r\n", "\r\n"} {
		addr, p := through(t, answering(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"+head))
		k := dial(t, addr)
		k.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if resp, _ := k.response("GET"); resp.StatusCode != 502 {
			t.Error(resp)
		}

		if e := receive(t, p.errs); e.Outcome != wire.Broken {
			t.Error(e.Outcome)
		}
	}
}

// A backend may answer before it has read the request. Its client was told
// nothing of an end, so it may finish the body and make another request on the
// same connection.
func TestRelay_AnEarlyAnswerDoesNotEndTheConnection(t *testing.T) {
	t.Parallel()
	addr, _ := through(t, backend(t, func(_ int, c *client) {
		c.head()
		io.WriteString(c, strings.Replace(ok, "1.1", "1.0", 1)) // for one request only
		io.Copy(io.Discard, c.r)
	}))
	for name, parts := range map[string][2]string{
		"of a known length": {"Content-Length: 10\r\n\r\nhello", "world"},
		"in chunks":         {"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nwo", "rld\r\n0\r\n\r\n"},
		"within a size":     {"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5", "\r\nworld\r\n0\r\n\r\n"},
	} {
		k := dial(t, addr)
		k.send("POST / HTTP/1.1\r\nHost: x\r\n" + parts[0])
		for range 2 {
			if r, body := k.response("POST"); r.StatusCode != 200 || body != "ok" || r.Close {
				t.Errorf("%s: %d %q, close %v", name, r.StatusCode, body, r.Close)
			}
			k.send(parts[1] + "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			parts[1] = ""
		}
	}
}
