package cache

import (
	"net/http"
	"testing"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// TestCredentials_KeepAnswersApart: for every field that says who is asking,
// the answer to one user is given neither to another user nor to a request
// without the field.
func TestCredentials_KeepAnswersApart(t *testing.T) {
	fresh := lines("Cache-Control: max-age=60")
	own := func(c *config.Cache) { c.Credentials = []string{"X-Mine"} }
	for _, field := range []string{
		"Authorization", "Cookie", "X-Goog-Iap-Jwt-Assertion", "X-Goog-Authenticated-User-Email", "X-Forwarded-User",
		"X-Forwarded-Access-Token", "X-Auth-Request-User", "X-Api-Key", "Cf-Access-Jwt-Assertion", "Proxy-Authorization",
		"X-Forwarded-Email", "X-Forwarded-Client-Cert", "X-Mine",
	} {
		ann, bob := lines(field+": ann"), lines(field+": bob")
		runAll(t, []reuse{
			{name: field, answer: fresh, first: ann, second: bob, rules: own},
			{name: field + ", then nobody", answer: fresh, first: ann, rules: own},
			{name: field + ", must-revalidate", answer: lines("Cache-Control: max-age=60, must-revalidate"), first: ann,
				second: bob, rules: own},
			{name: field + ", public", answer: lines("Cache-Control: max-age=60, public"), first: ann, second: bob, rules: own,
				want: true},
			{name: field + ", s-maxage", answer: lines("Cache-Control: s-maxage=60"), first: ann, second: bob, rules: own,
				want: true},
			{name: field + ", targeted", answer: lines("CDN-Cache-Control: max-age=60"), first: ann, second: bob, rules: own,
				want: true},
			{name: "nobody, then " + field, answer: fresh, second: bob, rules: own, want: true},
			{
				name: field + ", a static type", answer: lines("Cache-Control: max-age=60", "Content-Type: image/png"),
				first: ann, second: bob, rules: own, want: field == "Cookie",
			},
		})
	}
	runAll(t, []reuse{{
		name: "a cookie and more", answer: lines("Cache-Control: max-age=60", "Content-Type: image/png"),
		first: lines("Cookie: a=b", "Authorization: c"),
	}})
}

// TestOverrides_PassTheCacheBy holds for fields by which frameworks change
// method or path.
func TestOverrides_PassTheCacheBy(t *testing.T) {
	for _, field := range []string{
		"X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override",
	} {
		runAll(t, []reuse{
			{name: field + " stores nothing", answer: lines("Cache-Control: max-age=60"), first: lines(field + ": /admin")},
			{name: field + " gets nothing", answer: lines("Cache-Control: max-age=60"), second: lines(field + ": /admin")},
		})
	}
}

func TestKey_ToldApartByWhatBelongsToIt(t *testing.T) {
	k := newKit(t, always(200, "content", "Cache-Control: max-age=60"))
	k.rules.Vary = []string{"Rsc"}
	k.get("/x?a=%20")
	other := request("GET", "/x?a=%20")
	other.Host = "other.example.com"
	if k.do(other).hit() {
		t.Error("another host")
	}
	for _, target := range []string{"/x?a=+", "/x?a= ", "/X?a=%20", "/x?a=%20&", "/x?", "/x"} {
		if k.get(target).hit() {
			t.Error(target)
		}
	}
	if k.get("/x?a=%20", "Rsc: 1").hit() {
		t.Error("another value of a field of LB_CACHE_VARY")
	}
	k.route = "other"
	if k.get("/x?a=%20").hit() {
		t.Error("another route")
	}
	k.route = ""
	same := request("GET", "http://ignored/x?a=%20")
	same.Host = "EXAMPLE.com:80"
	if !k.do(same).hit() {
		t.Error("the same URL in another spelling")
	}
	l := k.lookup(request("GET", "/x?a=%20"))
	l.Prefix = "/app"
	resp, err := l.Send(l.requestOf("GET", "/x?a=%20"), &wire.Call{})
	if result(l, resp, err).hit() {
		t.Error("another prefix")
	}
	k.empty()
}

func (l *Lookup) requestOf(method, target string) *http.Request { return request(method, target) }

func TestBody_OfAGetPassesTheCacheBy(t *testing.T) {
	k := newKit(t, always(200, "content", "Cache-Control: max-age=60"))
	fat := request("GET", "/x")
	fat.Body, fat.ContentLength = http.NoBody, 3
	fat.Body = emptied{http.NoBody}
	k.do(fat)
	if k.get("/x").hit() {
		t.Error("the answer to a request with a body was stored")
	}
	if k.do(fat).hit() {
		t.Error("a request with a body got what is stored")
	}
	k.empty()
}

func TestQuery_IgnoredParametersReachNeitherKeyNorService(t *testing.T) {
	s := always(200, "content", "Cache-Control: max-age=60")
	var seen string
	inner := s.answer
	s.answer = func(r *http.Request, c *wire.Call) (*http.Response, error) {
		seen = r.RequestURI + " " + r.URL.RawQuery
		return inner(r, c)
	}
	k := newKit(t, s)
	k.rules.IgnoreQuery = []string{"utm_*"}
	k.get("/x?a=1&utm_source=mail")
	if seen != "/x?a=1 a=1" {
		t.Errorf("the service saw %q", seen)
	}
	if !k.get("/x?a=1&utm_source=web").hit() {
		t.Error("a parameter that is ignored is part of the key")
	}
	k.do(request("POST", "/y?utm_source=web"))
	if seen != "/y?utm_source=web utm_source=web" {
		t.Errorf("a POST became %q", seen)
	}
	k.empty()
}

func TestInvalidation_ByUnsafeMethods(t *testing.T) {
	for _, c := range []struct {
		method string
		status int
		answer []string
		want   bool // that it is still there
	}{
		{"POST", 200, nil, false}, {"PUT", 204, nil, false}, {"DELETE", 303, nil, false}, {"PATCH", 200, nil, false},
		{"M-SEARCH", 200, nil, false}, {"POST", 400, nil, true}, {"POST", 500, nil, true}, {"OPTIONS", 200, nil, true},
		{"HEAD", 200, nil, true},
	} {
		s := always(200, "content", "Cache-Control: max-age=60", "Vary: Foo")
		k := newKit(t, s)
		k.get("/x", "Foo: 1")
		k.get("/x", "Foo: 2")
		k.route = "another route"
		s.answer = always(c.status, "", c.answer...).answer
		k.do(request(c.method, "/x"))
		k.route = ""
		s.answer = always(200, "content", "Cache-Control: max-age=60", "Vary: Foo").answer
		if one, two := k.get("/x", "Foo: 1").hit(), k.get("/x", "Foo: 2").hit(); one != c.want || two != c.want {
			t.Errorf("%s answered by %d: still there %v, %v", c.method, c.status, one, two)
		}
		k.empty()
	}
}

func TestInvalidation_ByLocations(t *testing.T) {
	for _, c := range []struct {
		field string
		want  bool
	}{
		{"Location: /dir/other?a", false}, {"Content-Location: other?a#b", false},
		{"Location: http://example.com/dir/other?a", false},
		{"Location: http://example.com.evil.org/dir/other?a", true}, {"Location: //example.com/dir/other?a", false},
		{"Location: https://example.com/dir/other?a", true}, {"Location: http://example.org/dir/other?a", true},
	} {
		s := always(200, "content", "Cache-Control: max-age=60")
		k := newKit(t, s)
		k.get("/dir/other?a")
		s.answer = always(201, "", c.field).answer
		k.do(request("POST", "/dir/x"))
		s.answer = always(200, "content", "Cache-Control: max-age=60").answer
		if got := k.get("/dir/other?a").hit(); got != c.want {
			t.Errorf("%s: still there %v", c.field, got)
		}
		k.empty()
	}
}

func TestInvalidation_WhatIsOnItsWayIsNotStored(t *testing.T) {
	asked, answer := make(chan bool), make(chan bool)
	s := &service{answer: func(r *http.Request, _ *wire.Call) (*http.Response, error) {
		if r.Method == "POST" {
			return says(200, ""), nil
		}
		asked <- true
		<-answer
		return says(200, "old", "Cache-Control: max-age=60"), nil
	}}
	k := newKit(t, s)
	done := make(chan got)
	go func() { done <- k.get("/x") }()
	<-asked
	k.do(request("POST", "/x"))
	answer <- true
	if g := <-done; g.content != "old" || g.stored {
		t.Errorf("%+v", g)
	}
	if n := k.cache.Objects(); n != 0 {
		t.Errorf("%d objects", n)
	}
	k.empty()
}

func TestPurge_ByURLPrefixAndAll(t *testing.T) {
	k := newKit(t, always(200, "content", "Cache-Control: max-age=60"))
	fill := func() {
		for _, target := range []string{"/a", "/a/b", "/a/b?c", "/d"} {
			k.get(target)
		}
	}
	fill()
	for _, c := range []struct {
		purge func() int
		want  int
	}{
		{func() int { return k.cache.Purge("http://Example.com:80/a") }, 1},
		{func() int { return k.cache.Purge("http://example.com/none") }, 0},
		{func() int { return k.cache.Purge("https://example.com/a/b") }, 0},
		{func() int { return k.cache.PurgePrefix("http://example.com/a/") }, 2},
		{func() int { return k.cache.PurgeAll() }, 1},
	} {
		if got := c.purge(); got != c.want {
			t.Errorf("purged %d, want %d", got, c.want)
		}
	}
	k.empty()
}

// TestVary_SeesWhatTheServiceSees is for fields that a proxy says itself.
func TestVary_SeesWhatTheServiceSees(t *testing.T) {
	k := newKit(t, always(200, "content", "Cache-Control: max-age=60", "Vary: X-Forwarded-For"))
	from := func(address string) got {
		r := request("GET", "/x")
		l := k.lookup(r)
		defer l.Release()
		said := []wire.Field{{Name: "X-Forwarded-For", Value: address}}
		resp, err := l.Send(r, &wire.Call{Fields: said})
		return result(l, resp, err)
	}
	from("192.0.2.1")
	if from("192.0.2.2").hit() {
		t.Error("an answer for one address was given to another")
	}
	if !from("192.0.2.1").hit() {
		t.Error("an answer for an address was not given to it")
	}
	k.empty()
}
