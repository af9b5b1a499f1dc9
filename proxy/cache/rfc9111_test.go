package cache

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// reuse is one answer and whether a second request is answered with it.
type reuse struct {
	name   string
	status int
	answer []string
	first  []string // of the first request
	second []string
	after  time.Duration // between the two
	rules  func(*config.Cache)
	want   bool
}

func (c reuse) run(t *testing.T) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if c.status == 0 {
			c.status = 200
		}
		k := newKit(t, always(c.status, "content", c.answer...))
		if c.rules != nil {
			c.rules(k.rules)
		}
		k.get("/x", c.first...)
		time.Sleep(c.after)
		if g := k.get("/x", c.second...); g.hit() != c.want {
			t.Errorf("hit is %v, want %v: %s", g.hit(), c.want, g.say)
		}
		k.empty()
	})
}

func runAll(t *testing.T, cases []reuse) {
	for _, c := range cases {
		t.Run(c.name, c.run)
	}
}

func lines(l ...string) []string { return l }

// TestStored_ByWhatTheAnswerSays is section 3, and section 5.2.2 of what may be
// stored at all.
func TestStored_ByWhatTheAnswerSays(t *testing.T) {
	runAll(t, []reuse{
		{name: "max-age", answer: lines("Cache-Control: max-age=60"), want: true},
		{name: "nothing", answer: nil},
		{name: "only a validator", answer: lines("Etag: \"a\"")},
		{name: "no-store", answer: lines("Cache-Control: max-age=60, no-store")},
		{name: "no-store in capitals", answer: lines("Cache-Control: max-age=60, NO-STORE")},
		{name: "no-store on another line", answer: lines("Cache-Control: max-age=60", "Cache-Control: no-store")},
		{name: "private", answer: lines("Cache-Control: max-age=60, private")},
		{name: "private with fields", answer: lines(`Cache-Control: private="x", max-age=60`)},
		{name: "no-cache with fields", answer: lines(`Cache-Control: no-cache="x", max-age=60`)},
		{name: "no-store in quotes", answer: lines(`Cache-Control: ext="no-store", max-age=60`), want: true},
		{name: "must-understand", answer: lines("Cache-Control: max-age=60, no-store, must-understand"), want: true},
		{name: "must-understand of 599", status: 599, answer: lines("Cache-Control: max-age=60, must-understand")},
		{name: "any status", status: 299, answer: lines("Cache-Control: max-age=60"), want: true},
		{name: "206", status: 206, answer: lines("Cache-Control: max-age=60")},
		{name: "Set-Cookie", answer: lines("Cache-Control: max-age=60", "Set-Cookie: a=b")},
		{name: "event stream", answer: lines("Cache-Control: max-age=60", "Content-Type: text/event-stream")},
		{name: "multipart", answer: lines("Cache-Control: max-age=60", "Content-Type: multipart/mixed;boundary=a")},
		{name: "Vary star", answer: lines("Cache-Control: max-age=60", "Vary: a, *")},
		{name: "Expires", answer: lines("Date: Sat, 01 Jan 2000 00:00:00 GMT", "Expires: Sat, 01 Jan 2000 00:01:00 GMT"),
			want: true},
		{name: "Expires 0", answer: lines("Expires: 0")},
		{name: "max-age before Expires", answer: lines("Cache-Control: max-age=60", "Expires: 0"), want: true},
		{name: "s-maxage before max-age", answer: lines("Cache-Control: max-age=0, s-maxage=60"), want: true},
		{name: "a short s-maxage", answer: lines("Cache-Control: max-age=600, s-maxage=5"), after: 6 * time.Second},
		{name: "max-age that is no number", answer: lines("Cache-Control: max-age=60x")},
		{name: "max-age below zero", answer: lines("Cache-Control: max-age=-60")},
		{name: "max-age twice", answer: lines("Cache-Control: max-age=1, max-age=60"), after: 2 * time.Second},
		{name: "a huge max-age", answer: lines("Cache-Control: max-age=99999999999999999999"), after: 23 * time.Hour,
			want: true},
		{name: "LB_CACHE_MAX_TTL", answer: lines("Cache-Control: max-age=99999999"), after: 24 * time.Hour},
		{name: "an error, soon", status: 400, answer: lines("Cache-Control: max-age=60"), after: 9 * time.Second, want: true},
		{name: "an error, later", status: 400, answer: lines("Cache-Control: max-age=60"), after: 10 * time.Second},
		{name: "404, later", status: 404, answer: lines("Cache-Control: max-age=60"), after: 10 * time.Second, want: true},
		{name: "Age", answer: lines("Cache-Control: max-age=60", "Age: 50"), after: 11 * time.Second},
		{name: "an old Date", answer: lines("Cache-Control: max-age=60", "Date: Fri, 31 Dec 1999 23:59:10 GMT"),
			after: 11 * time.Second},
	})
}

// TestStored_HeuristicallyOnlyWhenAsked is section 4.2.2.
func TestStored_HeuristicallyOnlyWhenAsked(t *testing.T) {
	tenth := func(c *config.Cache) { c.Heuristic = 0.1 }
	modified := lines("Last-Modified: Fri, 31 Dec 1999 23:50:00 GMT") // ten minutes before
	runAll(t, []reuse{
		{name: "off", answer: modified},
		{name: "on", answer: modified, rules: tenth, after: 59 * time.Second, want: true},
		{name: "over", answer: modified, rules: tenth, after: 61 * time.Second},
		{name: "at most a day", answer: lines("Last-Modified: Thu, 31 Dec 1970 23:50:00 GMT"), rules: tenth,
			after: 25 * time.Hour},
		{name: "another status", status: 403, answer: modified, rules: tenth},
		{name: "with no-store", answer: append(lines("Cache-Control: no-store"), modified...), rules: tenth},
	})
}

// TestStatic_StoresFilesThatSayNothing is LB_CACHE=static.
func TestStatic_StoresFilesThatSayNothing(t *testing.T) {
	static := func(c *config.Cache) { c.Mode = config.CacheStatic }
	runAll(t, []reuse{
		{name: "a style sheet", answer: lines("Content-Type: text/css; charset=utf-8"), rules: static, want: true},
		{name: "an image", answer: lines("Content-Type: IMAGE/png"), rules: static, want: true},
		{name: "for an hour", answer: lines("Content-Type: image/png"), rules: static, after: time.Hour},
		{name: "a page", answer: lines("Content-Type: text/html"), rules: static},
		{name: "JSON", answer: lines("Content-Type: application/json"), rules: static},
		{name: "not found", status: 404, answer: lines("Content-Type: image/png"), rules: static},
		{name: "that says something", answer: lines("Content-Type: image/png", "Cache-Control: no-transform"), rules: static},
		{name: "to somebody", first: lines("Cookie: a=b"), answer: lines("Content-Type: image/png"), rules: static},
		{name: "with a cookie", answer: lines("Content-Type: image/png", "Set-Cookie: a=b"), rules: static},
		{name: "in mode origin", answer: lines("Content-Type: image/png")},
	})
}

// TestTargeted_FieldCountsBeforeCacheControl is RFC 9213.
func TestTargeted_FieldCountsBeforeCacheControl(t *testing.T) {
	runAll(t, []reuse{
		{name: "instead of no-store", answer: lines("Cache-Control: no-store", "CDN-Cache-Control: max-age=60"), want: true},
		{name: "ours first", answer: lines("Pillion-Cache-Control: no-store", "CDN-Cache-Control: max-age=60")},
		{name: "no-store", answer: lines("Cache-Control: max-age=60", "CDN-Cache-Control: no-store")},
		{name: "private", answer: lines("Cache-Control: max-age=60", "CDN-Cache-Control: private")},
		{name: "no-cache", answer: lines("Cache-Control: max-age=60", "CDN-Cache-Control: no-cache")},
		{name: "instead of Expires", answer: lines("Expires: 0", "CDN-Cache-Control: max-age=60"), want: true},
		{name: "empty", answer: lines("Cache-Control: max-age=60", "CDN-Cache-Control:"), want: true},
		{name: "no Dictionary", answer: lines("Cache-Control: no-store", "CDN-Cache-Control: max-age=60, &&")},
		{name: "a number in quotes", answer: lines("Cache-Control: no-store", `CDN-Cache-Control: max-age="60"`)},
		{name: "a number below zero", answer: lines("Cache-Control: no-store", "CDN-Cache-Control: max-age=-60")},
		{name: "a list", answer: lines("Cache-Control: no-store", "CDN-Cache-Control: max-age=(1 2)")},
		{name: "the next one", answer: lines("Pillion-Cache-Control: &", "CDN-Cache-Control: max-age=60"), want: true},
		{name: "an extension", answer: lines("CDN-Cache-Control: foo=(1 2);a, max-age=60;b"), want: true},
		{name: "no-cache is false", answer: lines("CDN-Cache-Control: max-age=60, no-cache=?0"), want: true},
	})
}

func TestTargeted_OurOwnFieldIsNotPassedOn(t *testing.T) {
	k := newKit(t, always(200, "content", "Pillion-Cache-Control: max-age=60", "CDN-Cache-Control: max-age=5"))
	for range 2 {
		g := k.get("/x")
		if g.header["Pillion-Cache-Control"] != nil || g.header["Cdn-Cache-Control"] == nil {
			t.Errorf("%s: %v", g.result, g.header)
		}
	}
	k.empty()
}

// TestVary_SelectsByWhatTheRequestsSay is section 4.1.
func TestVary_SelectsByWhatTheRequestsSay(t *testing.T) {
	by := func(names string) []string { return lines("Cache-Control: max-age=60", "Vary: "+names) }
	runAll(t, []reuse{
		{name: "the same", answer: by("Foo"), first: lines("Foo: 1"), second: lines("Foo: 1"), want: true},
		{name: "another", answer: by("Foo"), first: lines("Foo: 1"), second: lines("Foo: 2")},
		{name: "none", answer: by("Foo"), first: lines("Foo: 1")},
		{name: "none is not empty", answer: by("Foo"), second: lines("Foo:")},
		{name: "none twice", answer: by("Foo"), want: true},
		{name: "two lines", answer: by("Foo"), first: lines("Foo: 1, 2"), second: lines("Foo: 1", "Foo: 2"), want: true},
		{name: "blanks", answer: by("Foo"), first: lines("Foo: 1,2"), second: lines("Foo: 1 ,\t2 "), want: true},
		{name: "blanks in quotes", answer: by("Foo"), first: lines(`Foo: "1,2"`), second: lines(`Foo: "1, 2"`)},
		{name: "blanks in words", answer: by("Foo"), first: lines("Foo: a b"), second: lines("Foo: ab")},
		{name: "the second name", answer: by("Foo, BAR"), first: lines("Bar: 1"), second: lines("Bar: 2")},
		{name: "browsers' codings", answer: by("Accept-Encoding"), first: lines("Accept-Encoding: gzip, deflate, br"),
			second: lines("Accept-Encoding: br;q=0.5,gzip;q=1.0 , deflate"), want: true},
		{name: "a refused coding", answer: by("Accept-Encoding"), first: lines("Accept-Encoding: gzip"),
			second: lines("Accept-Encoding: gzip;q=0")},
		{name: "an unknown coding", answer: by("Accept-Encoding"), second: lines("Accept-Encoding: sdch"), want: true},
		{name: "identity refused", answer: by("Accept-Encoding"), second: lines("Accept-Encoding: identity;q=0")},
		{name: "languages", answer: by("Accept-Language"), first: lines("Accept-Language: en, de;q=0.5"),
			second: lines("Accept-Language: DE;q=0.5 ,EN"), want: true},
		{name: "languages by weight", answer: by("Accept-Language"), first: lines("Accept-Language: en, de;q=0.5"),
			second: lines("Accept-Language: en;q=0.5, de")},
		{name: "cookies", answer: by("Cookie"), want: true},
		{name: "somebody's cookies", answer: lines("Cache-Control: public, max-age=60", "Vary: Cookie"),
			first: lines("Cookie: a=b"), second: lines("Cookie: a=b")},
		{name: "no cookies for somebody", answer: by("Cookie"), second: lines("Cookie: a=b")},
	})
}

func TestVary_KeepsSixteenVariantsAndThoseThatAreUsed(t *testing.T) {
	k := newKit(t, always(200, "content", "Cache-Control: max-age=60", "Vary: Origin"))
	k.get("/x", "Origin: mine")
	for i := range 10000 {
		k.get("/x", "Origin: mine")
		k.get("/x", "Origin: "+decimal(int64(i)))
	}
	if !k.get("/x", "Origin: mine").hit() {
		t.Error("the variant that is used was dropped")
	}
	if n := k.cache.Objects(); n > mostOfAKey {
		t.Errorf("%d variants", n)
	}
	k.empty()
}

// TestAge_IsWhatTheRFCReckons is section 4.2.3.
func TestAge_IsWhatTheRFCReckons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{answer: func(*http.Request, *wire.Call) (*http.Response, error) {
			time.Sleep(3 * time.Second)
			return says(200, "content", "Cache-Control: max-age=600", "Age: 30"), nil
		}}
		k := newKit(t, s)
		k.get("/x")
		time.Sleep(10 * time.Second)
		if g := k.get("/x"); g.age != 43*time.Second || !strings.HasSuffix(g.say, "hit; ttl=557") {
			t.Errorf("age %v, %q", g.age, g.say)
		}
	})
}

// TestRequest_DirectivesOfClients is section 5.2.1, of which clients get no
// more than is harmless.
func TestRequest_DirectivesOfClients(t *testing.T) {
	answer := lines("Cache-Control: max-age=60")
	runAll(t, []reuse{
		{name: "no-cache", answer: answer, second: lines("Cache-Control: no-cache"), want: true},
		{name: "max-age=0", answer: answer, second: lines("Cache-Control: max-age=0"), want: true},
		{name: "Pragma", answer: answer, second: lines("Pragma: no-cache"), want: true},
		{name: "no-store", answer: answer, second: lines("Cache-Control: no-store")},
		{name: "no-store first", answer: answer, first: lines("Cache-Control: no-store")},
		{name: "only-if-cached", answer: answer, second: lines("Cache-Control: only-if-cached"), want: true},
	})
	s := always(200, "content", answer...)
	if g := newKit(t, s).get("/x", "Cache-Control: only-if-cached"); g.status != 504 || s.asked.Load() != 0 {
		t.Errorf("only-if-cached without an answer: %d", g.status)
	}
}
