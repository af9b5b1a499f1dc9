package cache

import (
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/proxy/wire"
)

func TestBounds_AreNeverPassed(t *testing.T) {
	const most = 1 << 20
	random := rand.New(rand.NewPCG(1, 2))
	s := &service{answer: func(*http.Request, *wire.Call) (*http.Response, error) {
		resp := says(200, strings.Repeat("x", random.IntN(100<<10)), "Cache-Control: max-age=60")
		if random.IntN(2) == 0 {
			resp.ContentLength = -1
		}
		return resp, nil
	}}
	k := newKit(t, s)
	k.cache = New(most, 64<<10)
	for i := range 5000 {
		k.get("/" + decimal(int64(i)))
		if n := k.cache.Bytes(); n > most {
			t.Fatalf("%d bytes after %d", n, i)
		}
	}
	if s := k.cache.Stats(); s.Bytes < most/2 || s.Evictions == 0 || s.Refused["too_large"] == 0 {
		t.Errorf("%+v", s)
	}
	k.empty()
}

// TestBounds_FieldsOfA304Count: each one may add fields to a stored answer.
func TestBounds_FieldsOfA304Count(t *testing.T) {
	n := 0
	s := &service{answer: func(r *http.Request, _ *wire.Call) (*http.Response, error) {
		if r.Header.Get("If-None-Match") == "" {
			return says(200, "content", "Cache-Control: max-age=0", `Etag: "a"`), nil
		}
		n++
		return says(304, "", "X-"+decimal(int64(n))+": "+strings.Repeat("x", 32<<10)), nil
	}}
	k := newKit(t, s)
	k.get("/x")
	for range 300 {
		k.get("/x")
		if least := min(int64(n), 100) * 32 << 10; k.cache.Bytes() < least || k.cache.Bytes() > 8<<20 {
			t.Fatalf("%d fields of 32 KiB: %d bytes are counted", n, k.cache.Bytes())
		}
	}
	k.empty()
}

func TestBounds_WhatIsUsedStays(t *testing.T) {
	k := newKit(t, always(200, strings.Repeat("x", 8<<10), "Cache-Control: max-age=60"))
	k.cache = New(1<<20, 64<<10)
	k.get("/used")
	for i := range 2000 {
		k.get("/" + decimal(int64(i)))
		if !k.get("/used").hit() {
			t.Fatalf("dropped after %d others", i)
		}
	}
	k.empty()
}

// TestBounds_WhatIsBeingSentCounts has every entry in use: their memory is not
// free, so nothing else is stored.
func TestBounds_WhatIsBeingSentCounts(t *testing.T) {
	k := newKit(t, always(200, strings.Repeat("x", 60<<10), "Cache-Control: max-age=60"))
	k.cache = New(1<<20, 64<<10)
	var open []*Lookup
	var bodies []io.Closer
	for i := range 100 {
		l := k.lookup(request("GET", "/"+decimal(int64(i%20))))
		resp, err := l.Send(request("GET", "/"+decimal(int64(i%20))), &wire.Call{})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Read(make([]byte, 1))
		open, bodies = append(open, l), append(bodies, resp.Body)
		if i == 50 {
			k.cache.PurgeAll()
		}
		if n := k.cache.Bytes(); n > 1<<20 {
			t.Fatalf("%d bytes", n)
		}
	}
	if k.cache.Stats().Refused["no_room"] == 0 {
		t.Error("there was room")
	}
	for i, b := range bodies {
		b.Close()
		open[i].Release()
	}
	k.empty()
}

func TestBounds_OneAnswerIsAtMostAnEighth(t *testing.T) {
	k := newKit(t, always(200, strings.Repeat("x", 200<<10), "Cache-Control: max-age=60"))
	k.cache = New(1<<20, 1<<20)
	if g := k.get("/x"); g.stored || len(g.content) != 200<<10 {
		t.Errorf("%+v", g.say)
	}
	k.empty()
}

func TestTrailers_AreNotStoredButPassedOn(t *testing.T) {
	for _, announced := range []bool{true, false} {
		s := always(200, "content", "Cache-Control: max-age=60")
		inner := s.answer
		s.answer = func(r *http.Request, c *wire.Call) (*http.Response, error) {
			resp, err := inner(r, c)
			resp.ContentLength = -1
			if announced {
				resp.Trailer = http.Header{"Sum": nil}
			}
			resp.Body = &withTrailer{resp.Body, resp}
			return resp, err
		}
		k := newKit(t, s)
		l := k.lookup(request("GET", "/x"))
		resp, err := l.Send(request("GET", "/x"), &wire.Call{})
		if g := result(l, resp, err); g.content != "content" || resp.Trailer.Get("Sum") != "1" {
			t.Errorf("announced %v: %+v, %v", announced, g, resp.Trailer)
		}
		l.Release()
		if n := k.cache.Objects(); n != 0 {
			t.Errorf("announced %v: stored", announced)
		}
		k.empty()
	}
}

type withTrailer struct {
	io.ReadCloser
	resp *http.Response
}

func (b *withTrailer) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.resp.Trailer = http.Header{"Sum": {"1"}}
	}
	return n, err
}

// TestHit_AllocatesLittle counts what one answer from memory costs. Age and
// Cache-Status are the caller's.
func TestHit_AllocatesLittle(t *testing.T) {
	k := newKit(t, always(200, strings.Repeat("x", 128), "Cache-Control: max-age=60", "Vary: Accept-Encoding, Foo"))
	k.get("/x", "Accept-Encoding: gzip, br", "Foo: 1")
	r := request("GET", "/x", "Accept-Encoding: gzip, br", "Foo: 1")
	c := &wire.Call{}
	n := testing.AllocsPerRun(1000, func() {
		l := NewLookup()
		l.Cache, l.Rules, l.Scheme, l.Host, l.Next = k.cache, k.rules, "http", r.Host, k.service
		resp, err := l.Send(r, c)
		if err != nil || l.Result != Hit {
			t.Fatal(l.Result, err)
		}
		resp.Body.(io.WriterTo).WriteTo(io.Discard)
		resp.Body.Close()
		l.Release()
	})
	if n > 0 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkHit(b *testing.B) {
	k := newKit(b, always(200, strings.Repeat("x", 128), "Cache-Control: max-age=60", "Vary: Accept-Encoding"))
	r := request("GET", "/x", "Accept-Encoding: gzip, br")
	k.do(r)
	c := &wire.Call{}
	b.ReportAllocs()
	for b.Loop() {
		l := NewLookup()
		l.Cache, l.Rules, l.Scheme, l.Host, l.Next = k.cache, k.rules, "http", r.Host, k.service
		resp, _ := l.Send(r, c)
		resp.Body.(io.WriterTo).WriteTo(io.Discard)
		resp.Body.Close()
		l.Release()
	}
}
