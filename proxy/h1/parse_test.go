package h1

import (
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// detached is a transaction on no network.
func detached() *transaction {
	c := &conn{server: &Server{}, c: nowhere{}, fd: -1}
	c.server.acquire(c)
	return c.x
}

// readRequest parses a whole head as a server does.
func readRequest(head string) (*http.Request, *refusal) {
	x := detached()
	end, err := headEnd([]byte(head))
	if err != nil {
		return nil, err
	}

	if end == 0 || end != len(head) {
		return nil, malformed("not one head")
	}

	x.conn.remote = "-"
	return &x.request, x.read(head[:end-2])
}

func TestRequest_StrictAboutEveryAmbiguity(t *testing.T) {
	t.Parallel()
	const ok = "Host: a\r\n"
	for _, c := range []struct {
		head   string
		status int // 0: accepted
	}{
		{"GET / HTTP/1.1\r\nHost: a\r\n", 0},
		{"GET / HTTP/1.0\r\n", 0},
		{"OPTIONS * HTTP/1.1\r\nHost: a\r\n", 0},
		{"GET http://a/b HTTP/1.1\r\nHost: other\r\n", 0},
		{"GET /%41?%zz HTTP/1.1\r\nHost: a.b-c_d:80\r\n", 0},
		{"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n", 0},
		{"GET / HTTP/1.1\r\nHost:\t a \t\r\nX:\r\n", 0},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n", 0},
		{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n", 0},
		{"GET / HTTP/1.1\r\nhost: a\r\nX: \x80\xff\r\n", 0},

		{"GET  / HTTP/1.1\r\n" + ok, 400},
		{"GET / HTTP/1.1 \r\n" + ok, 400},
		{" GET / HTTP/1.1\r\n" + ok, 400},
		{"G(T / HTTP/1.1\r\n" + ok, 400},
		{"GET /\t HTTP/1.1\r\n" + ok, 400},
		{"GET /a b HTTP/1.1\r\n" + ok, 400},
		{"GET /a#b HTTP/1.1\r\n" + ok, 400},
		{"GET /\x00 HTTP/1.1\r\n" + ok, 400},
		{"GET /\xc3\xbc HTTP/1.1\r\n" + ok, 400},
		{"GET /%zz HTTP/1.1\r\n" + ok, 400},
		{"GET a HTTP/1.1\r\n" + ok, 400},
		{"GET * HTTP/1.1\r\n" + ok, 400},
		{"GET ftp://a/ HTTP/1.1\r\n" + ok, 400},
		{"GET http://u:p@a/ HTTP/1.1\r\n" + ok, 400},
		{"GET http:///x HTTP/1.1\r\n" + ok, 400},
		{"GET a:80 HTTP/1.1\r\n" + ok, 400},
		{"CONNECT a:80 HTTP/1.1\r\n" + ok, 405},
		{"GET /\r\n" + ok, 400},
		{"GET / HTTP/1.1", 400},
		{"GET / HTTP/2.0\r\n" + ok, 505},
		{"GET / HTTP/1.2\r\n" + ok, 505},
		{"GET / HTTP/1.10\r\n" + ok, 400},
		{"GET / http/1.1\r\n" + ok, 400},
		{"GET / HTTP/1.1\r\nX: 1\r\n", 400},
		{"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n", 400},
		{"GET / HTTP/1.1\r\nHost: \r\n", 400},
		{"GET / HTTP/1.1\r\nHost: a b\r\n", 400},
		{"GET / HTTP/1.1\r\nHost: a/b\r\n", 400},
		{"GET / HTTP/1.1\r\nHost: u@a\r\n", 400},
		{"GET / HTTP/1.1\r\nHost: a,b\r\n", 400},
		{"GET / HTTP/1.1\r\nHost: a:99999\r\n", 400},
		{"GET / HTTP/1.1\r\nHost: a:+1\r\n", 400},
		{"GET / HTTP/1.1\r\nHost: [::1\r\n", 400},
		{"GET / HTTP/1.1\r\nHost: [fe80::1%25lo]\r\n", 400},
		{"GET / HTTP/1.1\r\n" + ok + " folded: 1\r\n", 400},
		{"GET / HTTP/1.1\r\n" + ok + "X : 1\r\n", 400},
		{"GET / HTTP/1.1\r\n" + ok + ": 1\r\n", 400},
		{"GET / HTTP/1.1\r\n" + ok + "X\r\n", 400},
		{"GET / HTTP/1.1\r\n" + ok + "X(): 1\r\n", 400},
		{"GET / HTTP/1.1\r\n" + ok + "X: a\rb\r\n", 400},
		{"GET / HTTP/1.1\r\n" + ok + "X: a\nY: b\r\n", 400},
		{"GET / HTTP/1.1\r\n" + ok + "X: a\x00b\r\n", 400},
		{"GET / HTTP/1.1\r\n" + ok + "X: a\x7fb\r\n", 400},
		{"GET / HTTP/1.1\r\n" + ok + "Content-Length: 1\r\nContent-Length: 1\r\n", 400},
		{"GET / HTTP/1.1\r\n" + ok + "Content-Length: 1, 1\r\n", 400},
		{"GET / HTTP/1.1\r\n" + ok + "Content-Length: +1\r\n", 400},
		{"GET / HTTP/1.1\r\n" + ok + "Content-Length: -1\r\n", 400},
		{"GET / HTTP/1.1\r\n" + ok + "Content-Length: 0x1\r\n", 400},
		{"GET / HTTP/1.1\r\n" + ok + "Content-Length:\r\n", 400},
		{"GET / HTTP/1.1\r\n" + ok + "Content-Length: 9999999999999999999\r\n", 400},
		{"GET / HTTP/1.1\r\n" + ok + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400},
		{"GET / HTTP/1.1\r\n" + ok + "Transfer-Encoding: gzip, chunked\r\n", 400},
		{"GET / HTTP/1.1\r\n" + ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400},
		{"GET / HTTP/1.1\r\n" + ok + "Transfer-Encoding: \"chunked\"\r\n", 400},
		{"GET / HTTP/1.1\r\n" + ok + "Transfer-Encoding: identity\r\n", 400},
		{"GET / HTTP/1.1\r\n" + ok + "Transfer-Encoding:\r\n", 400},
		{"GET / HTTP/1.0\r\n" + ok + "Transfer-Encoding: chunked\r\n", 400},
		{"GET / HTTP/1.1\r\n" + ok + "Trailer: Content-Length\r\n", 400},
		{"GET / HTTP/1.1\r\n" + ok + "Expect: 200-ok\r\n", 417},
		{"GET / HTTP/1.1\r\n" + ok + strings.Repeat("A: b\r\n", 256), 431},
	} {
		_, err := readRequest(c.head + "\r\n")
		switch {
		case err == nil && c.status != 0:
			t.Errorf("%q was accepted", c.head)
		case err != nil && err.status != c.status:
			t.Errorf("%q: %d %s, not %d", c.head, err.status, err.reason, c.status)
		}
	}
}

func TestRequest_AbsoluteTargetNamesTheHost(t *testing.T) {
	t.Parallel()
	r, err := readRequest("GET http://real:81/p?q HTTP/1.1\r\nHost: other\r\n\r\n")
	if err != nil || r.Host != "real:81" || r.URL.Path != "/p" || r.URL.RawQuery != "q" ||
		r.RequestURI != "http://real:81/p?q" {
		t.Errorf("%+v %v", r, err)
	}
}

func TestCanonical_AgreesWithNetHTTP(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Host", "content-length", "CONTENT-TYPE", "eTag", "x-unknown", "X-Unknown",
		"sec-WebSocket-key", "x_y", "Te"} {
		if key, _ := canonical(name); key != http.CanonicalHeaderKey(name) {
			t.Errorf("%s: %s", name, key)
		}
	}

	if _, k := canonical("cOnTeNt-lEnGtH"); k != contentLength {
		t.Error("an odd spelling hides a framing field")
	}
}

func TestBlock_RepeatedFieldsAreKeptInOrder(t *testing.T) {
	t.Parallel()
	r, err := readRequest("GET / HTTP/1.1\r\nHost: x\r\nAccept: 1\r\nX-Own: 1\r\naccept: 2\r\nx-own: 2\r\nACCEPT: " +
		"3\r\nX-OWN: 3\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}

	want := http.Header{"Accept": {"1", "2", "3"}, "X-Own": {"1", "2", "3"}}
	if !reflect.DeepEqual(r.Header, want) {
		t.Error(r.Header)
	}
}

func TestBlock_ManyFieldsAreNotKept(t *testing.T) {
	t.Parallel()
	var b block
	b.reset()
	var head strings.Builder
	for i := range keepFields + 1 {
		head.WriteString("X-" + strings.Repeat("a", i+1) + ": 1\r\n")
	}

	if err := b.parse(head.String(), head.String()); err != nil {
		t.Fatal(err)
	}

	large := b.header
	b.reset()
	b.header["New"] = nil
	if _, same := large["New"]; same {
		t.Error("a large map was reused")
	}
}

func TestBlock_ValuesOfOneNameDoNotOverwriteOthers(t *testing.T) {
	t.Parallel()
	var b block
	b.reset()
	const lines = "A: 1\r\nB: 2\r\nA: 3\r\nC: 4\r\n"
	if err := b.parse(lines, lines); err != nil {
		t.Fatal(err)
	}

	b.header["B"] = append(b.header["B"], "5")
	if b.header.Get("C") != "4" || len(b.header["A"]) != 2 || b.header["A"][1] != "3" {
		t.Error(b.header)
	}
}

// content of a chunked message as a payload reads it, in pieces of a size.
type pieces struct {
	s    string
	size int
}

func (p *pieces) receive(b []byte) (int, error) {
	if p.s == "" {
		return 0, io.EOF
	}

	n := copy(b[:min(len(b), p.size)], p.s)
	p.s = p.s[n:]

	return n, nil
}

func readChunked(wire string, size, room int) (body string, p *payload, err error) {
	in := &input{buf: make([]byte, firstBuffer), from: &pieces{wire, size}}
	p = &payload{in: in, framing: byChunks, limit: 16 << 10}
	var b strings.Builder

	buf := make([]byte, room)
	for {
		n, err := p.Read(buf)
		b.Write(buf[:n])
		if err == io.EOF {
			return b.String(), p, nil
		}

		if err != nil {
			return b.String(), p, err
		}
	}
}

func TestChunks_AnySplitReadsTheSame(t *testing.T) {
	t.Parallel()
	const wire = "5\r\nhello\r\n1;a=b\r\n \r\n00a\r\n0123456789\r\n0\r\nX-T: v\r\n\r\n"
	for size := 1; size <= len(wire); size++ {
		for room := 1; room < 20; room++ {
			body, p, err := readChunked(wire, size, room)
			if err != nil || body != "hello 0123456789" || p.trailer.Get("X-T") != "v" {
				t.Fatalf("size %d, room %d: %q %v %v", size, room, body, p.trailer, err)
			}
		}
	}
}

func TestChunks_EndComesWithTheLastBytes(t *testing.T) {
	t.Parallel()
	in := &input{buf: make([]byte, firstBuffer), from: &pieces{"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 100}}
	p := &payload{in: in, framing: byChunks}
	b := make([]byte, 5)
	if n, err := p.Read(b); n != 5 || err != io.EOF {
		t.Error(n, err)
	}
}

func TestChunks_StrictAboutSyntax(t *testing.T) {
	t.Parallel()
	for _, wire := range []string{
		"", "5", "5\r\nhel", "5\r\nhello\r\n", "5\r\nhello\r\n0\r\n",
		"\r\n", "x\r\n", "-1\r\n", "0x1\r\na\r\n0\r\n\r\n", "+1\r\na\r\n0\r\n\r\n", " 1\r\na\r\n0\r\n\r\n",
		"1 \r\na\r\n0\r\n\r\n", "1\na\r\n0\r\n\r\n", "1\r\na\n0\r\n\r\n", "1\r\nab\r\n0\r\n\r\n", "1\r\na\r\r\n0\r\n\r\n",
		"1;\x00\r\na\r\n0\r\n\r\n", "1;a\rb\r\na\r\n0\r\n\r\n", "1 ;a\r\na\r\n0\r\n\r\n", "1000000000000000\r\n",
		"1\r\na\r\n0\r\nX : y\r\n\r\n", "1\r\na\r\n0\r\nX: y\n\r\n", "0\r\nContent-Length: 1\r\n\r\n", "0\r\nHost: a\r\n\r\n",
		"0\r\nTransfer-Encoding: chunked\r\n\r\n", "0\r\nauthorization: x\r\n\r\n", "0\r\nX-Forwarded-For: x\r\n\r\n",
		"0\r\nCookie: x\r\n\r\n", "0\r\n folded\r\n\r\n", "1;" + strings.Repeat("e", 2<<10) + "\r\na\r\n0\r\n\r\n",
		strings.Repeat("1;"+strings.Repeat("e", 900)+"\r\na\r\n", 30) + "0\r\n\r\n",
		"0\r\nX: " + strings.Repeat("t", 20<<10) + "\r\n\r\n",
		"0\r\n" + strings.Repeat("X: y\r\n", 257) + "\r\n",
	} {
		for _, size := range []int{1, 1 << 20} {
			if body, _, err := readChunked(wire, size, 1<<10); err == nil {
				t.Errorf("%.40q was read as %q", wire, body)
			}
		}
	}
}

func TestResponse_StrictAboutEveryAmbiguity(t *testing.T) {
	t.Parallel()
	for _, head := range []string{
		"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
		"hello\r\n\r\n",
		"HTTP/0.9 200 OK\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n",
		"HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n", "HTTP/1.1 200 O\x00K\r\n\r\n", "http/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200\tOK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
		"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\na", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: a\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
		"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", "HTTP/1.1 200 OK\r\nX: y\rz\r\n\r\n", "HTTP/1.1 200 OK\r\nX: y\x00\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 70<<10) + "\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Le",
	} {
		address := backend(t, func(_ int, c *client) {
			c.head()
			io.WriteString(c, head)
		})
		tr := &Transport{Address: address, StallTimeout: 5 * time.Second}
		r, _ := http.NewRequest("GET", "http://a/", nil)

		resp, err := tr.Send(r, new(wire.Call))
		if err == nil {
			t.Errorf("%.60q was accepted: %v", head, resp)
			resp.Body.Close()
		} else if e := err.(*wire.Error); e.Outcome != wire.Broken {
			t.Errorf("%.60q: outcome %d", head, e.Outcome)
		}

		if tr.Idle() != 0 {
			t.Errorf("%.60q: the connection was kept", head)
		}
	}
}

func TestHeadScan_LooksAtEachByteOnce(t *testing.T) {
	t.Parallel()
	for _, head := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET / HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", 50) + "\r\n",
		"GET /" + strings.Repeat("x", 1000) + " HTTP/1.1\r\n\r\n",
	} {
		var s headScan
		for n := range len(head) {
			if end, err := s.end([]byte(head[:n])); end != 0 || err != nil {
				t.Fatalf("%d after %d of %d bytes (%v)", end, n, len(head), err)
			}
			if s.seen != n {
				t.Fatalf("%d of %d bytes would be looked at again", n-s.seen, n)
			}
		}

		if end, err := s.end([]byte(head + "GET")); end != len(head) || err != nil {
			t.Errorf("%d, want %d (%v)", end, len(head), err)
		}
	}
}

func TestHeadScan_BareLFWhereverThePiecesEnd(t *testing.T) {
	t.Parallel()
	for _, head := range []string{"\n", "GET / HTTP/1.1\n", "GET / HTTP/1.1\r\nA: b\n\r\n", "A: b\r\n\n"} {
		for n := range len(head) {
			var s headScan
			_, err := s.end([]byte(head[:n]))
			if err == nil {
				_, err = s.end([]byte(head))
			}

			if err == nil {
				t.Errorf("%q in pieces of %d and %d bytes is a head", head, n, len(head)-n)
			}
		}
	}
}
