package cache

import (
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// cheap is a service whose answers cost as little as possible: one answer of
// 128 bytes, used again for each request.
type cheap struct {
	resp http.Response
	left int
}

func newCheap() *cheap {
	s := &cheap{resp: http.Response{StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, ContentLength: 128,
		Header: fields("Content-Type: text/plain", "Content-Length: 128", "Cache-Control: max-age=600",
			"Date: "+time.Now().UTC().Format(http.TimeFormat))}}
	s.resp.Body = s
	return s
}

func (s *cheap) Send(*http.Request, *wire.Call) (*http.Response, error) {
	s.left = 128
	return &s.resp, nil
}

func (s *cheap) Read(p []byte) (int, error) {
	n := min(len(p), s.left)
	s.left -= n
	if s.left == 0 {
		return n, io.EOF
	}
	return n, nil
}

func (s *cheap) Close() error { return nil }

// BenchmarkMiss asks for a new URL each time. Its answer is stored, and others
// are dropped for it: the cache is full before the clock starts.
func BenchmarkMiss(b *testing.B) {
	k := newKit(b, newCheap())
	k.cache = New(64<<20, 8<<20)
	r, c, target, n := request("GET", "/"), &wire.Call{}, []byte(nil), int64(0)
	miss := func() {
		n++
		target = strconv.AppendInt(append(target[:0], "/bytes/128?n="...), n, 16)
		r.RequestURI = string(target)
		l := NewLookup()
		l.Cache, l.Rules, l.Scheme, l.Host, l.Next = k.cache, k.rules, "http", r.Host, k.service
		resp, _ := l.Send(r, c)
		resp.Body.(io.WriterTo).WriteTo(io.Discard)
		resp.Body.Close()
		l.Release()
	}
	for k.cache.store.counts.evictions.Load() == 0 {
		miss()
	}
	b.ReportAllocs()

	for b.Loop() {
		miss()
	}
}
