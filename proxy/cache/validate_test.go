package cache

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// validating answers 304 to whoever has the tag.
func validating(tag string, lines ...string) *service {
	return &service{answer: func(r *http.Request, _ *wire.Call) (*http.Response, error) {
		if r.Header.Get("If-None-Match") == tag {
			return says(304, "", append(lines, "Etag: "+tag)...), nil
		}
		return says(200, "content", append(lines, "Etag: "+tag)...), nil
	}}
}

// TestValidation_RefreshesWhatIsStale is section 4.3.
func TestValidation_RefreshesWhatIsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		s := validating(`"a"`)
		inner := s.answer
		s.answer = func(r *http.Request, c *wire.Call) (*http.Response, error) {
			resp, err := inner(r, c)
			n++
			resp.Header.Set("Cache-Control", "max-age=60")
			resp.Header.Set("Test", decimal(int64(n)))
			resp.Header.Set("Content-Encoding", decimal(int64(n)))
			resp.Header.Set("Content-Length", "7")
			return resp, err
		}
		k := newKit(t, s)
		k.get("/x")
		time.Sleep(61 * time.Second)
		g := k.get("/x")
		if g.result != Revalidated || g.content != "content" || g.status != 200 || g.header.Get("Test") != "2" ||
			g.header.Get("Content-Encoding") != "1" || g.say != "pillion; fwd=stale; fwd-status=304; stored" {
			t.Errorf("%+v", g)
		}
		time.Sleep(59 * time.Second)
		if g = k.get("/x"); !g.hit() || g.age != 59*time.Second {
			t.Errorf("%+v", g)
		}
		k.empty()
	})
}

func TestValidation_NoCacheValidatesEachTime(t *testing.T) {
	for _, control := range []string{"no-cache", "no-cache, max-age=60", "max-age=0",
		"public, max-age=0, must-revalidate"} {
		k := newKit(t, validating(`"a"`, "Cache-Control: "+control))
		k.get("/x")
		for range 3 {
			if g := k.get("/x"); g.result != Revalidated || g.content != "content" {
				t.Errorf("%s: %+v", control, g)
			}
		}
		k.empty()
	}
}

func TestValidation_AnotherAnswerReplacesTheStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := validating(`"a"`, "Cache-Control: max-age=1")
		k := newKit(t, s)
		k.get("/x")
		s.answer = validating(`"b"`, "Cache-Control: max-age=1").answer
		time.Sleep(2 * time.Second)
		if g := k.get("/x"); g.result != Miss || g.header.Get("Etag") != `"b"` || k.cache.Objects() != 1 {
			t.Errorf("%+v", g)
		}
		k.empty()
	})
}

func TestValidation_A304WithATagOfItsOwnIsAboutOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{}
		s.answer = func(r *http.Request, _ *wire.Call) (*http.Response, error) {
			if r.Header.Get("If-None-Match") == `"a"` {
				return says(304, "", `Etag: "a-gzip"`), nil
			}
			return says(200, "content", "Cache-Control: max-age=1", `Etag: "a"`), nil
		}
		k := newKit(t, s)
		k.get("/x")
		for range 2 {
			time.Sleep(2 * time.Second)
			if g := k.get("/x"); g.result != Revalidated || g.header.Get("Etag") != `"a"` {
				t.Errorf("%+v", g)
			}
		}
		k.empty()
	})
}

func TestValidation_A304ThatForbidsStoringEndsTheEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := validating(`"a"`, "Cache-Control: max-age=1")
		k := newKit(t, s)
		k.get("/x")
		s.answer = validating(`"a"`, "Cache-Control: private").answer
		time.Sleep(2 * time.Second)
		if g := k.get("/x"); g.content != "content" || k.cache.Objects() != 0 {
			t.Errorf("%+v, %d objects", g, k.cache.Objects())
		}
		k.empty()
	})
}

// TestClient_ConditionsAreAnsweredFromMemory is section 4.3.2.
func TestClient_ConditionsAreAnsweredFromMemory(t *testing.T) {
	answer := lines("Cache-Control: max-age=60", `Etag: "a"`, "Last-Modified: Sat, 01 Jan 2000 00:00:00 GMT",
		"Content-Type: text/plain")
	for _, c := range []struct {
		request []string
		want    int
	}{
		{lines(`If-None-Match: "a"`), 304},
		{lines(`If-None-Match: W/"a"`), 304},
		{lines(`If-None-Match: "b", "a"`), 304},
		{lines(`If-None-Match: *`), 304},
		{lines(`If-None-Match: "b"`), 200},
		{lines(`If-None-Match: "b"`, "If-Modified-Since: Sat, 01 Jan 2000 00:00:00 GMT"), 200},
		{lines("If-Modified-Since: Sat, 01 Jan 2000 00:00:00 GMT"), 304},
		{lines("If-Modified-Since: Saturday, 01-Jan-00 00:00:00 GMT"), 304},
		{lines("If-Modified-Since: Fri, 31 Dec 1999 00:00:00 GMT"), 200},
		{lines("If-Modified-Since: yesterday"), 200},
	} {
		s := always(200, "content", answer...)
		k := newKit(t, s)
		for _, state := range []string{"a miss", "a hit"} {
			g := k.get("/x", c.request...)
			if g.status != c.want || (g.content == "") != (c.want == 304) {
				t.Errorf("%q, %s: %d %q", c.request, state, g.status, g.content)
			}
			if g.status == 304 && (g.header.Get("Etag") == "" || g.header.Get("Content-Type") != "" ||
				g.header.Get("Date") == "") {
				t.Errorf("%q, %s: %v", c.request, state, g.header)
			}
		}
		if n := s.asked.Load(); n != 1 {
			t.Errorf("%q: the service was asked %d times", c.request, n)
		}
		if g := k.get("/x"); !g.hit() || g.content != "content" {
			t.Errorf("%q: not whole: %+v", c.request, g)
		}
		k.empty()
	}
}

func TestClient_ConditionsReachAServiceWhoseAnswersAreNotStored(t *testing.T) {
	s := validating(`"a"`, "Cache-Control: private")
	k := newKit(t, s)
	if g := k.get("/x", `If-None-Match: "a"`); g.status != 304 {
		t.Errorf("the first: %d", g.status)
	}
	k.get("/x", `If-None-Match: "a"`)
	if s.last.Get("If-None-Match") != `"a"` {
		t.Error("the service made the whole answer a second time")
	}
	if g := k.get("/x", "Cookie: a", `If-None-Match: "a"`); g.status != 304 || s.last.Get("If-None-Match") != `"a"` {
		t.Errorf("with a cookie: %d", g.status)
	}
	k.empty()
}

// TestRange_OfWhatIsStored is RFC 9110 section 14.
func TestRange_OfWhatIsStored(t *testing.T) {
	for _, c := range []struct {
		request []string
		status  int
		content string
		field   string
	}{
		{lines("Range: bytes=0-1"), 206, "01", "bytes 0-1/10"},
		{lines("Range: bytes=5-"), 206, "56789", "bytes 5-9/10"},
		{lines("Range: bytes=-3"), 206, "789", "bytes 7-9/10"},
		{lines("Range: bytes=-30"), 206, "0123456789", "bytes 0-9/10"},
		{lines("Range: bytes=8-99999999999999999999"), 206, "89", "bytes 8-9/10"},
		{lines("Range: BYTES=1-1"), 206, "1", "bytes 1-1/10"},
		{lines("Range: bytes=10-"), 416, "", "bytes */10"},
		{lines("Range: bytes=-0"), 416, "", "bytes */10"},
		{lines("Range: bytes=0-1,3-4"), 200, "0123456789", ""},
		{lines("Range: lines=0-1"), 200, "0123456789", ""},
		{lines("Range: bytes=3-1"), 200, "0123456789", ""},
		{lines("Range: bytes=x-1"), 200, "0123456789", ""},
		{lines("Range: bytes=0-1", `If-Range: "a"`), 206, "01", "bytes 0-1/10"},
		{lines("Range: bytes=0-1", `If-Range: W/"a"`), 200, "0123456789", ""},
		{lines("Range: bytes=0-1", `If-Range: "b"`), 200, "0123456789", ""},
		{lines("Range: bytes=0-1", "If-Range: Sat, 01 Jan 2000 00:00:00 GMT"), 206, "01", "bytes 0-1/10"},
		{lines("Range: bytes=0-1", "If-Range: Sat, 01 Jan 2000 00:00:01 GMT"), 200, "0123456789", ""},
		{lines("Range: bytes=0-1", `If-None-Match: "a"`), 304, "", ""},
	} {
		s := always(200, "0123456789", "Cache-Control: max-age=60", `Etag: "a"`,
			"Last-Modified: Sat, 01 Jan 2000 00:00:00 GMT")
		k := newKit(t, s)
		k.get("/x")
		g := k.get("/x", c.request...)
		if g.status != c.status || g.content != c.content || g.header.Get("Content-Range") != c.field || s.asked.Load() != 1 {
			t.Errorf("%q: %d %q %q", c.request, g.status, g.content, g.header.Get("Content-Range"))
		}
		if g.status == 206 && g.header.Get("Content-Length") != decimal(int64(len(c.content))) {
			t.Errorf("%q: length %s", c.request, g.header.Get("Content-Length"))
		}
		k.empty()
	}
}

func TestRange_ThatIsNotInMemoryGoesOn(t *testing.T) {
	s := always(206, "01", "Cache-Control: max-age=60", "Content-Range: bytes 0-1/10")
	k := newKit(t, s)
	for range 2 {
		if g := k.get("/x", "Range: bytes=0-1"); g.status != 206 || s.last.Get("Range") == "" || g.stored {
			t.Errorf("%+v", g)
		}
	}
	k.empty()
}

func TestRange_AcrossPieces(t *testing.T) {
	content := strings.Repeat("0123456789", 30000)
	s := always(200, content, "Cache-Control: max-age=60")
	inner := s.answer
	s.answer = func(r *http.Request, c *wire.Call) (*http.Response, error) {
		resp, err := inner(r, c)
		resp.ContentLength = -1
		return resp, err
	}
	k := newKit(t, s)
	k.get("/x")
	if g := k.get("/x", "Range: bytes=4090-270000"); g.content != content[4090:270001] {
		t.Errorf("%d bytes", len(g.content))
	}
	if g := k.get("/x"); g.content != content || g.header.Get("Content-Length") != "300000" {
		t.Errorf("%d bytes, length %s", len(g.content), g.header.Get("Content-Length"))
	}
	k.empty()
}

func TestHead_IsServedFromGet(t *testing.T) {
	s := always(200, "content", "Cache-Control: max-age=60", "Content-Length: 7")
	k := newKit(t, s)
	if g := k.do(request("HEAD", "/x")); g.result != Miss || g.stored {
		t.Errorf("%+v", g)
	}
	k.get("/x")
	if g := k.do(request("HEAD", "/x")); !g.hit() || g.content != "" || g.header.Get("Content-Length") != "7" {
		t.Errorf("%+v", g)
	}
	k.empty()
}

// TestStale_WhenTheServiceFails is section 4.2.4 and RFC 5861 section 4.
func TestStale_WhenTheServiceFails(t *testing.T) {
	refused := func(*http.Request, *wire.Call) (*http.Response, error) {
		return nil, &wire.Error{Outcome: wire.NotSent, Phase: wire.Connect, Err: errAborted}
	}
	for _, c := range []struct {
		control string
		after   time.Duration
		status  int // of the service; 0: it is gone
		want    bool
	}{
		{"max-age=1", 30 * time.Second, 0, true},
		{"max-age=1", 30 * time.Second, 503, true},
		{"max-age=1", 30 * time.Second, 500, true},
		{"max-age=1", 30 * time.Second, 502, true},
		{"max-age=1", 30 * time.Second, 504, true},
		{"max-age=1", 30 * time.Second, 501, false},
		{"max-age=1", 30 * time.Second, 404, false},
		{"max-age=1", 62 * time.Second, 0, false},
		{"max-age=1, stale-if-error=600", 500 * time.Second, 0, true},
		{"max-age=1, stale-if-error=5", 10 * time.Second, 0, false},
		{"max-age=1, stale-if-error=0", 2 * time.Second, 0, false},
		{"max-age=1, must-revalidate", 2 * time.Second, 0, false},
		{"max-age=1, proxy-revalidate", 2 * time.Second, 0, false},
		{"s-maxage=1", 2 * time.Second, 0, false},
		{"no-cache", 2 * time.Second, 0, false},
		{"max-age=1, must-revalidate, stale-if-error=600", 2 * time.Second, 0, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := always(200, "content", "Cache-Control: "+c.control, `Etag: "a"`)
			k := newKit(t, s)
			k.get("/x")
			time.Sleep(c.after)
			s.answer = refused
			if c.status != 0 {
				s.answer = always(c.status, "failure").answer
			}
			g := k.get("/x")
			if stale := g.result == Stale && g.content == "content"; stale != c.want {
				t.Errorf("%s after %v: %+v", c.control, c.after, g)
			}
			if !c.want && c.status == 0 && g.err == nil {
				t.Errorf("%s after %v: no error", c.control, c.after)
			}
			k.empty()
		})
	}
}

// TestStale_WhileOneRefreshRuns is RFC 5861 section 3.
func TestStale_WhileOneRefreshRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := always(200, "old", "Cache-Control: max-age=1, stale-while-revalidate=60", "Vary: Foo")
		k := newKit(t, s)
		k.get("/x", "Foo: 1")
		time.Sleep(2 * time.Second)
		s.answer = func(r *http.Request, _ *wire.Call) (*http.Response, error) {
			time.Sleep(time.Second)
			return says(200, "new", "Cache-Control: max-age=60", "Vary: Foo"), nil
		}
		for range 10 {
			if g := k.get("/x", "Foo: 1", "Cookie: a", "Range: bytes=0-9"); g.result != Stale ||
				!strings.HasPrefix(g.content, "old") {
				t.Errorf("%+v", g)
			}
		}
		time.Sleep(2 * time.Second)
		if g := k.get("/x", "Foo: 1"); !g.hit() || g.content != "new" || s.asked.Load() != 2 {
			t.Errorf("%+v after %d requests", g, s.asked.Load())
		}
		if h := s.last; h.Get("Foo") != "1" || h.Get("Cookie") != "" || h.Get("Range") != "" {
			t.Errorf("the refresh was %v", h)
		}
		time.Sleep(200 * time.Second)
		if g := k.get("/x", "Foo: 1"); g.result != Miss {
			t.Errorf("%+v", g)
		}
		k.empty()
	})
}

func TestStale_ARefreshThatAFreezeOutlivedIsBegunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := always(200, "old", "Cache-Control: max-age=1, stale-while-revalidate=3600")
		k := newKit(t, s)
		k.get("/x")
		time.Sleep(2 * time.Second)
		release := make(chan bool)
		s.answer = func(*http.Request, *wire.Call) (*http.Response, error) {
			<-release
			return says(200, "new", "Cache-Control: max-age=60"), nil
		}
		k.get("/x")
		time.Sleep(10 * time.Minute)
		k.get("/x")
		k.get("/x")
		synctest.Wait()
		if n := s.asked.Load(); n != 3 {
			t.Errorf("%d requests", n)
		}
		close(release)
		k.running.Wait()
		if g := k.get("/x"); !g.hit() || g.content != "new" {
			t.Errorf("%+v", g)
		}
		k.empty()
	})
}
