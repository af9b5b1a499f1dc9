package cache

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestFields_ComeBackAsTheyWere packs what may be stored and reads it again.
func TestFields_ComeBackAsTheyWere(t *testing.T) {
	long := strings.Repeat("v", 70_000)
	for _, c := range []struct {
		name    string
		header  http.Header
		date    string
		left    []string // the fields that are not stored
		private string
	}{
		{name: "none", header: http.Header{}},
		{name: "lines and empty ones", header: http.Header{
			"A": {"1", "", "2"}, "B": {""}, "Long": {long, long}, "Etag": {"\"\x00\xff\""}}},
		{name: "a date", header: http.Header{"A": {"1"}}, date: "now"},
		{name: "those of the connection", header: http.Header{
			"A": {"1"}, "X-Hop": {"1"}, "Y-Hop": {"1"}, "Age": {"1"}, "Connection": {"x-hop , close", "Y-HOP"}},
			left: []string{"X-Hop", "Y-Hop", "Age", "Connection"}},
		{name: "what only the cache reads", header: http.Header{"A": {"1"}, "Own": {"1"}},
			private: "Own", left: []string{"Own"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := storableOf(c.header, c.private)
			s.date = c.date
			size, memory := s.measure()
			p := s.pack(make(packed, 0, size))
			if len(p) != size || memory < int64(2*size) {
				t.Errorf("%d bytes, measured %d, in all %d", len(p), size, memory)
			}

			want := maps.Clone(c.header)
			for _, name := range c.left {
				delete(want, name)
			}
			if c.date != "" {
				want["Date"] = []string{c.date}
			}
			got := p.unpack()
			if !maps.EqualFunc(got, want, slices.Equal[[]string]) {
				t.Errorf("%.300q, want %.300q", got, want)
			}
			for name, values := range got {
				if cap(values) != len(values) {
					t.Errorf("an append to %s would write over another field", name)
				}
			}
		})
	}
}

// TestFields_AreNoPartOfTheBody has both in one piece of memory.
func TestFields_AreNoPartOfTheBody(t *testing.T) {
	k := newKit(t, always(200, "content", "Cache-Control: max-age=60", "A: 1"))
	k.get("/x")
	for range 2 {
		if g := k.get("/x"); !g.hit() || g.content != "content" || g.header.Get("A") != "1" {
			t.Errorf("%q, %v", g.content, g.header)
		}
	}
	k.empty()
}
