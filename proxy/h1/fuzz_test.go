package h1

import (
	"bufio"
	"bytes"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// What we accept, net/http has to accept too and to understand in the same way.
// We may only refuse more.

func FuzzRequestHead(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST /a%20b?c HTTP/1.1\r\nhost: a:1\r\nContent-Length: 3\r\n\r\n",
		"OPTIONS * HTTP/1.0\r\nConnection: close\r\n\r\n", "GET http://a/ HTTP/1.1\r\nHost: b\r\nX:\t y \r\n\r\n",
		"PUT //a/b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x, y\r\nConnection: keep-alive, " +
			"Upgrade\r\n\r\n",
		"GET /\"?a=\"b HTTP/1.1\r\nHost: [::1]\r\nX: a\r\nx: b\r\n\r\n",
	} {
		f.Add([]byte(s))
	}

	f.Fuzz(func(t *testing.T, b []byte) {
		head := string(b)
		ours, refused := readRequest(head)
		if refused != nil {
			return
		}

		theirs, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head)))
		if err != nil {
			t.Fatalf("net/http refuses: %v", err)
		}

		if ours.Method != theirs.Method || ours.RequestURI != theirs.RequestURI || ours.Host != theirs.Host ||
			ours.ProtoMinor != theirs.ProtoMinor || ours.ContentLength != theirs.ContentLength ||
			!slices.Equal(ours.TransferEncoding, theirs.TransferEncoding) {
			t.Fatalf("%+v\n%+v", ours, theirs)
		}

		if *ours.URL != *theirs.URL || ours.URL.EscapedPath() != theirs.URL.EscapedPath() {
			t.Fatalf("%#v\n%#v", ours.URL, theirs.URL)
		}

		sameFields(t, ours.Header, theirs.Header)
		sameFields(t, ours.Trailer, theirs.Trailer)
		roundTrip(t, ours)
	})
}

// sameFields looks over Trailer, which net/http leaves in the map of a message
// that has none.
func sameFields(t *testing.T, ours, theirs http.Header) {
	t.Helper()
	delete(theirs, "Trailer")
	if !maps.EqualFunc(ours, theirs, slices.Equal) {
		t.Fatalf("fields\n%q\n%q", ours, theirs)
	}
}

// roundTrip serialises what was parsed: that has to say the same again, and
// never anything that we would refuse.
func roundTrip(t *testing.T, r *http.Request) {
	t.Helper()
	out, err := (&Transport{Address: "b:1"}).appendRequest(nil, r, &wire.Call{}, r.ContentLength)
	if err != nil {
		t.Fatalf("cannot be sent: %v", err)
	}

	again, refused := readRequest(string(out))
	if refused != nil {
		t.Fatalf("%s in %q", refused.reason, out)
	}

	if again.Method != r.Method || again.Host != r.Host && r.Host != "" || again.ContentLength != r.ContentLength ||
		again.URL.EscapedPath() != r.URL.EscapedPath() && r.URL.Path != "" || again.URL.RawQuery != r.URL.RawQuery {
		t.Fatalf("%q", out)
	}

	for name, values := range r.Header {
		if _, k := canonical(name); k <= date && !slices.Equal(again.Header[name], values) {
			t.Fatalf("%s: %q", name, out)
		}
	}
}

// FuzzSerialize gives the transport what a careless or hostile caller may have
// in a request.
func FuzzSerialize(f *testing.F) {
	f.Add("GET", "/a", "h", "X-A", "v", int64(0))
	f.Add("GET /x HTTP/1.1", "/a b", "h\r\nX: y", "Content-Length", "5\r\n\r\nGET /", int64(-1))
	f.Add("POST", "", "h", "transfer-encoding", "chunked", int64(7))

	f.Fuzz(func(t *testing.T, method, target, host, name, value string, length int64) {
		length = max(length, -1)
		r, err := http.NewRequest("GET", "http://a/", nil)
		if err != nil {
			t.Fatal(err)
		}

		r.Method, r.RequestURI, r.Host = method, target, host
		r.Header[name] = []string{value}
		c := &wire.Call{Fields: []wire.Field{{Name: name + "x", Value: value}, {Name: "x" + name, Value: value}}}
		out, err := (&Transport{Address: "b:1"}).appendRequest(nil, r, c, length)
		if err != nil {
			return
		}

		again, refused := readRequest(string(out))
		if refused != nil && refused.status != http.StatusExpectationFailed {
			t.Fatalf("%s in %q", refused.reason, out)
		}
		if refused == nil && (again.Method != method || length < 1<<59 && again.ContentLength != length) {
			t.Fatalf("%q", out)
		}
	})
}

func FuzzResponseHead(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HTTP/1.0 404 Not Found\r\nX: y\r\n\r\n", "HTTP/1.1 204\r\n\r\n",
		"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\nTrailer: a\r\n\r\n",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "HTTP/1.1 204\r\nContent-Length: 00\r\n\r\n",
		"HTTP/1.0 200\r\nContent-Length:\r\n\r\n", "HTTP/1.0 200\r\nTransfer-Encoding:\r\n\r\n",
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}

	f.Fuzz(func(t *testing.T, b []byte, head bool) {
		r := &http.Request{Method: "GET"}
		if head {
			r.Method = "HEAD"
		}

		end, refused := headEnd(b)
		if refused != nil || end == 0 || end != len(b) {
			return
		}

		l := &link{t: &Transport{}, request: r, call: &wire.Call{}}
		code, minor, reason, err := l.parseHead(string(b[:end-2]))
		if err != nil || code < 200 {
			return
		}

		ours, err := l.respond(code, minor, reason)
		if err != nil {
			return
		}

		// nothing depends on the framing fields of a message that ends with its
		// head: we read past wrong ones, which net/http refuses
		bodyless := endsWithHead(r.Method, code)
		theirs, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), r)
		if err != nil && bodyless {
			return
		}
		if err != nil {
			t.Fatalf("net/http refuses: %v", err)
		}

		if ours.StatusCode != theirs.StatusCode || ours.ProtoMinor != theirs.ProtoMinor {
			t.Fatalf("%+v\n%+v", ours, theirs)
		}

		if bodyless {
			delete(ours.Header, "Content-Length")
			delete(theirs.Header, "Content-Length")
		} else if ours.ContentLength != theirs.ContentLength ||
			!slices.Equal(ours.TransferEncoding, theirs.TransferEncoding) {
			t.Fatalf("%+v\n%+v", ours, theirs)
		}

		sameFields(t, ours.Header, theirs.Header)
	})
}

func FuzzChunks(f *testing.F) {
	f.Add([]byte("5\r\nhello\r\n0\r\n\r\n"), uint8(1), uint8(3))
	f.Add([]byte("1;a=b\r\nx\r\n000\r\nX: y\r\n\r\n"), uint8(200), uint8(1))
	f.Add([]byte("a\r\n0123456789\r\n3\r\nabc\r\n0\r\n\r\nGET /"), uint8(7), uint8(9))

	f.Fuzz(func(t *testing.T, wire []byte, size, room uint8) {
		body, p, err := readChunked(string(wire), int(size)+1, int(room)+1)
		whole, q, err2 := readChunked(string(wire), len(wire)+1, 4<<10)
		if (err == nil) != (err2 == nil) || err == nil && body != whole {
			t.Fatalf("%q %v in pieces, %q %v at once", body, err, whole, err2)
		}

		if err != nil {
			return
		}

		const head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
		r, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(head), bytes.NewReader(wire))))
		if err != nil {
			t.Fatal(err)
		}

		theirs, err := io.ReadAll(r.Body)
		if err != nil || string(theirs) != body {
			t.Fatalf("net/http reads %q, %v; we read %q", theirs, err, body)
		}
		if len(q.trailer) > 0 || len(r.Trailer) > 0 {
			sameFields(t, q.trailer, r.Trailer)
		}

		if left := q.in.bytes(); !bytes.HasSuffix(wire, left) || p.in.buffered() > len(wire) {
			t.Fatal("consumed too much")
		}
	})
}
