package test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/backend"
)

// confirming starts a backend whose first answer to everybody has the tag "a"
// and is stale at once. It answers 304 to whoever has the tag. Fields in the
// request such as Then-Vary make fields of the 304.
func confirming(t *testing.T, first func(h http.Header)) *backend.Server {
	return backend.Start(t, "one", func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("ETag", `"a"`)
		if r.Header.Get("If-None-Match") == "" {
			h.Set("Cache-Control", "max-age=0")
			h.Set("Content-Type", "text/html")
			first(h)
			_, _ = io.WriteString(w, longText("for "+r.Header.Get("Language")))
			return
		}
		h.Set("Cache-Control", "max-age=60")
		for name, values := range r.Header {
			if name, ok := strings.CutPrefix(name, "Then-"); ok {
				h[name] = values
			}
		}
		w.WriteHeader(http.StatusNotModified)
	})
}

// TestCache_A304WithAnotherVaryEndsTheEntry: other requests must not get the
// answer, although the one that was confirmed does.
func TestCache_A304WithAnotherVaryEndsTheEntry(t *testing.T) {
	t.Parallel()
	b := confirming(t, func(http.Header) {})
	p := startCache(t, b)
	for version, client := range clients(t) {
		for _, vary := range []string{"Language", "Accept, language", "*", "Cookie"} {
			u := p.URL("/" + version[5:] + strings.Trim(vary, "*, "))
			get(t, client, u, "Language", "de")
			a := get(t, client, u, "Language", "de", "Then-Vary", vary)
			if !strings.HasPrefix(a.Text, "for de\n") || a.Header.Get("Vary") != vary {
				t.Errorf("%s, Vary: %s: %.9q %v", version, vary, a.Text, a.Header)
			}
			if a = get(t, client, u, "Language", "en"); !strings.HasPrefix(a.Text, "for en\n") || isHit(a) {
				t.Errorf("%s, Vary: %s: another language gets %.9q %v", version, vary, a.Text, a.Header)
			}
		}
	}
}

// TestCache_A304LeavesVaryAsItIs: many servers leave Vary out of a 304, and
// compression adds it there.
func TestCache_A304LeavesVaryAsItIs(t *testing.T) {
	t.Parallel()
	for media, want := range map[string]string{"text/html": "Origin, Accept-Encoding", "image/png": "Origin"} {
		b := confirming(t, func(h http.Header) {
			h.Set("Vary", "Origin")
			h.Set("Content-Type", media)
		})
		p := startCache(t, b, "LB_COMPRESS=gzip")
		client := newClient(t)
		for _, then := range []string{"the first", "confirmed", "hit"} {
			a := get(t, client, p.URL("/"), "Accept-Encoding", "gzip")
			if said := strings.Join(a.Header["Vary"], ", "); said != want || isHit(a) != (then == "hit") {
				t.Errorf("%s, %s: Vary: %s, %v", media, then, said, a.Header["Cache-Status"])
			}
		}
	}
}

// TestCache_A304ForOneUserIsForNobodyElse: neither the fields of the 304 nor
// the time that it gives may reach other users.
func TestCache_A304ForOneUserIsForNobodyElse(t *testing.T) {
	t.Parallel()
	b := confirming(t, func(http.Header) {})
	p := startCache(t, b)
	client := newClient(t)
	for _, name := range []string{"Cookie", "Authorization", "X-Api-Key"} {
		u := p.URL("/" + name)
		get(t, client, u)
		a := get(t, client, u, name, "ann=1", "Then-User", "ann")
		if a.Header.Get("User") != "ann" || a.StatusCode != 200 {
			t.Errorf("%s: her own: %v", name, a.Header)
		}
		if a = get(t, client, u); a.Header.Get("User") != "" || isHit(a) {
			t.Errorf("%s: somebody else gets %v", name, a.Header)
		}

		u += "/public"
		get(t, client, u)
		get(t, client, u, name, "ann=1", "Then-Cache-Control", "public, max-age=60")
		if a = get(t, client, u); !isHit(a) {
			t.Errorf("%s: a public one is not for everybody: %v", name, a.Header)
		}
	}
}

// TestCache_A304WithoutDateIsOfNow: the age of the stored answer would make it
// stale again at once.
func TestCache_A304WithoutDateIsOfNow(t *testing.T) {
	t.Parallel()
	before := "Date: " + time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)
	b := backend.StartScript(t, "one", func(r backend.Request) string {
		if len(r.Fields("If-None-Match")) > 0 {
			return "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n"
		}
		return backend.Answer(200, "content", `ETag: "a"`, "Cache-Control: max-age=60", before)
	})
	p := pillion.Start(t, b.Environment(), "LB_CACHE=origin")
	client := newClient(t)
	get(t, client, p.URL("/"))
	get(t, client, p.URL("/"))
	if a := get(t, client, p.URL("/")); !isHit(a) || a.Text != "content" {
		t.Errorf("%q %v", a.Text, a.Header)
	}
}

// TestCache_A304IsNotHeldBack: a client that has the answer is told so at once,
// and its next request does not wait either, while the cache still gets the
// body.
func TestCache_A304IsNotHeldBack(t *testing.T) {
	t.Parallel()
	goOn := make(chan bool)
	b := caching(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/quick" {
			return
		}
		_, _ = io.WriteString(w, "one ")
		http.NewResponseController(w).Flush()
		<-goOn
		_, _ = io.WriteString(w, "two")
	})
	p := startCache(t, b)
	for version, client := range clients(t) {
		for _, length := range []string{"", "&Content-Length=7"} {
			u := p.URL("/" + version[5:] + fresh + "&ETag=%22a%22" + length)
			if a := get(t, client, u, "If-None-Match", `"a"`); a.StatusCode != http.StatusNotModified {
				t.Errorf("%s%s: %d", version, length, a.StatusCode)
			}
			if a := get(t, client, p.URL("/quick")); a.StatusCode != 200 {
				t.Errorf("%s%s: the next: %d", version, length, a.StatusCode)
			}
			goOn <- true
			if a := get(t, client, u); a.Text != "one two" || b.Hits() == 0 {
				t.Errorf("%s%s: then %q", version, length, a.Text)
			}
		}
	}
	if n := b.Hits(); n != 8 {
		t.Errorf("the backend was asked %d times: the answers were not stored", n)
	}
}

// TestCache_WhatIsReplacedIsNotUsedInNeed: a page that was removed or made
// private does not come back when the service fails. An answer that says
// nothing about the page changes nothing.
func TestCache_WhatIsReplacedIsNotUsedInNeed(t *testing.T) {
	t.Parallel()
	for then, stays := range map[string]bool{
		"404": false, "410": false, "301": false, "401": false, "403": false, "451": false,
		"200 Cache-Control private": false, "200 Set-Cookie a=b": false, "200 Vary *": false,
		"429": true, "408": true, "500": true,
	} {
		var failing atomic.Bool
		b := backend.Start(t, "one", func(w http.ResponseWriter, r *http.Request) {
			if failing.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			status, name, value := 200, "", ""
			if r.Header.Get("If-None-Match") == "" {
				w.Header().Set("ETag", `"a"`)
				w.Header().Set("Cache-Control", "max-age=0")
			} else if n, _ := fmt.Sscan(then, &status, &name, &value); n == 3 {
				w.Header().Set(name, value)
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "content")
		})
		p := startCache(t, b)
		client := newClient(t)
		get(t, client, p.URL("/"))
		get(t, client, p.URL("/"))
		failing.Store(true)
		if a := get(t, client, p.URL("/")); (a.StatusCode == 200) != stays {
			t.Errorf("%s, then a failure: %d %v", then, a.StatusCode, a.Header)
		}
	}
}
