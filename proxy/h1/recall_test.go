package h1

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// after reads heads with one block, one after the other, as a connection does,
// and returns what it made of the last one.
func after(heads ...string) (*transaction, *refusal) {
	x := detached()
	var err *refusal
	for _, head := range heads {
		end, bad := headEnd([]byte(head))
		if bad != nil || end == 0 {
			err = malformed("no head")
			continue
		}
		err = x.read(x.head.past.text([]byte(head)[:end-2]))
	}

	return x, err
}

// sameHead fails if two blocks made different things of a head.
func sameHead(t *testing.T, x, y *transaction) {
	t.Helper()
	if !maps.EqualFunc(x.head.header, y.head.header, slices.Equal[[]string]) {
		t.Errorf("%v\n%v", x.head.header, y.head.header)
	}

	a, b := x.head, y.head
	if a.host != b.host || a.length != b.length || a.lengths != b.lengths || a.chunked != b.chunked ||
		a.close != b.close || a.keepAlive != b.keepAlive || a.upgrade != b.upgrade || a.expect != b.expect ||
		!slices.Equal(a.trailers, b.trailers) || a.count != b.count {
		t.Errorf("%+v\n%+v", a, b)
	}

	if x.request.Method != y.request.Method || x.request.RequestURI != y.request.RequestURI ||
		x.request.Host != y.request.Host || x.request.ContentLength != y.request.ContentLength {
		t.Errorf("%+v\n%+v", x.request, y.request)
	}
}

var recallHeads = []string{
	"GET /a HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\nX-Odd: 1\r\nx-odd: 2\r\n\r\n",
	"GET /b HTTP/1.1\r\nHost: a\r\nCookie: a=2\r\nX-Odd: 1\r\nx-odd: 2\r\n\r\n",
	"GET /b HTTP/1.1\r\nHost: a\r\nX-Odd: 1\r\nx-odd: 2\r\n\r\n",
	"GET /b HTTP/1.1\r\nHost: a\r\nNew: 1\r\nX-Odd: 1\r\nx-odd: 2\r\nLast:\t \r\n\r\n",
	"POST /b HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\n",
	"POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X, Y\r\n\r\n",
	"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX-Odd: 1\r\nX-Odd : 1\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX-Odd: 1\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX-Odd: 12\r\nx-odd: 2\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("A: 1\r\n", 40) + "\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nB: " + strings.Repeat("b", 70<<10) + "\r\nA: 1\r\n\r\n",
}

// A head means the same whatever came before it on the connection.
func TestRecall_ChangesNoMeaning(t *testing.T) {
	t.Parallel()
	for _, first := range recallHeads {
		for _, second := range recallHeads {
			fresh, want := after(second)
			for _, heads := range [][]string{{first, second}, {second, first, second}, {first, second, second}} {
				x, err := after(heads...)
				if (err == nil) != (want == nil) || err != nil && *err != *want {
					t.Fatalf("%.80q after %.80q: %v, want %v", second, first, err, want)
				}
				if err == nil {
					sameHead(t, x, fresh)
				}
			}
		}
	}
}

// What a handler does to the fields of one request is not seen by the next.
func TestRecall_IsNotTheMap(t *testing.T) {
	t.Parallel()
	x, _ := after(recallHeads[0])
	x.head.header["Cookie"][0] = "other"
	delete(x.head.header, "X-Odd")
	x.head.header["Extra"] = []string{"1"}
	if err := x.read(x.head.past.text([]byte(recallHeads[0][:len(recallHeads[0])-2]))); err != nil {
		t.Fatal(err.reason)
	}

	fresh, _ := after(recallHeads[0])
	sameHead(t, x, fresh)
}

// A pool of idle connections keeps what is remembered, so it is little.
func TestRecall_IsSmall(t *testing.T) {
	t.Parallel()
	for _, large := range recallHeads[len(recallHeads)-2:] {
		x, err := after(recallHeads[0], large)
		if err != nil {
			t.Fatal(err.reason)
		}
		if past := x.head.past; past.head != "" || cap(past.lines)+cap(past.spare) > 4*maxRecallLines {
			t.Errorf("%d bytes and %d lines", len(past.head), cap(past.lines)+cap(past.spare))
		}
	}
}

// The same head again costs no allocation: its text and its lines are there.
func TestRecall_SpareTheCopy(t *testing.T) {
	const whole = "GET /a HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\nX-Odd: 1\r\nx-other: 2\r\n\r\n"
	x, err := after(whole)
	if err != nil {
		t.Fatal(err.reason)
	}

	head := []byte(whole[:len(whole)-2])
	if n := testing.AllocsPerRun(100, func() {
		if err := x.read(x.head.past.text(head)); err != nil {
			t.Fatal(err.reason)
		}
	}); n > 0 {
		t.Errorf("%g allocations", n)
	}
}

// FuzzRecall reads one head after another, and again alone.
func FuzzRecall(f *testing.F) {
	for i, head := range recallHeads[:8] {
		f.Add(head, recallHeads[(i+1)%8])
	}

	f.Fuzz(func(t *testing.T, first, second string) {
		x, err := after(first, second)
		fresh, want := after(second)
		if (err == nil) != (want == nil) || err != nil && *err != *want {
			t.Fatalf("%v, want %v", err, want)
		}
		if err == nil {
			sameHead(t, x, fresh)
		}
	})
}
