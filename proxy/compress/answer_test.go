package compress

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// standard are the rules of the defaults, with both codings.
func standard(t *testing.T) *Rules {
	t.Helper()
	cfg, problems := config.Load([]string{"LB_BACKENDS=:9", "LB_COMPRESS=zstd;gzip"})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return NewRules(&cfg.Routes[0].Compress)
}

// fields makes a header of "Name: value" lines.
func fields(lines ...string) http.Header {
	h := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return h
}

func TestTypes_TakeWhatIsTextAndNothingElse(t *testing.T) {
	t.Parallel()
	types := standard(t).types
	for media, want := range map[string]bool{
		"text/html": true, "text/html; charset=utf-8": true, "TEXT/Html": true, " text/css ;x=y": true,
		"text/event-stream": false, "text/event-stream; charset=utf-8": false, "Text/Event-Stream": false,
		"application/json": true, "application/problem+json": true, "image/svg+xml": true, "application/atom+xml": true,
		"application/json-seq": false, "application/javascript": true, "application/wasm": true, "font/ttf": true,
		"font/woff2": false, "image/png": false, "video/mp4": false, "application/zip": false,
		"application/octet-stream": false, "application/grpc": false, "application/grpc+json": false,
		"application/grpc-web+json": false, "": false, "text": false, "text/": false, "/json": false, "x/y/z+xml": false,
		"application/pdf": false,
	} {
		if types.have(media) != want {
			t.Errorf("%q: %v", media, !want)
		}
	}
	if !newMediaTypes([]string{"text/event-stream"}).have("text/event-stream") {
		t.Error("event streams can't be listed")
	}
}

func TestRules_CodingIsTheClientsChoiceThenOurs(t *testing.T) {
	t.Parallel()
	r := standard(t)
	for field, want := range map[string]wire.Coding{
		"gzip, deflate, br, zstd": wire.Zstd, "gzip": wire.Gzip, "zstd;q=0.5, gzip;q=0.6": wire.Gzip, "*": wire.Zstd,
		"*;q=0": wire.Identity, "br": wire.Identity, "identity": wire.Identity, "gzip;q=0.5, identity": wire.Identity,
		"identity;q=0": wire.Identity, "identity;q=0.5, gzip": wire.Gzip, "zstd;q=0, *": wire.Gzip, "": wire.Identity,
		"gzip;q=0": wire.Identity, "identity;q=0, *;q=0": wire.Identity, "gzip;q=0.001": wire.Gzip,
	} {
		if got := r.preferred([]string{field}); got != want {
			t.Errorf("%q: %v, want %v", field, got, want)
		}
	}
	if r.preferred(nil) != wire.Identity {
		t.Error("a client that says nothing gets a coding")
	}
}

func TestRules_WhatIsNeverCompressed(t *testing.T) {
	t.Parallel()
	r := standard(t)
	const html = "Content-Type: text/html"
	for _, c := range []struct {
		why    skip
		varies bool
		status int
		length int64
		lines  []string
	}{
		{compressed, true, 200, -1, []string{html}},
		{compressed, true, 200, 1024, []string{html}},
		{byLength, false, 200, 1023, []string{html}},
		{byLength, false, 200, 0, []string{html}},
		{compressed, true, 404, -1, []string{html}},
		{compressed, true, 500, -1, []string{html}},
		{byStatus, false, 101, -1, []string{html}},
		{byStatus, false, 204, 0, []string{html}},
		{byStatus, false, 205, 0, []string{html}},
		{byStatus, true, 206, 5000, []string{html, "Content-Range: bytes 0-4999/9999"}},
		{byStatus, false, 206, 5000, []string{"Content-Type: image/png", "Content-Range: bytes 0-4999/9999"}},
		{byStatus, true, 304, 0, nil},
		{byStatus, true, 304, 0, []string{html}},
		{byStatus, false, 304, 0, []string{"Content-Type: image/png"}},
		{byStatus, false, 200, -1, []string{html, "Content-Range: bytes 0-4/5"}},
		{byCoding, false, 200, -1, []string{html, "Content-Encoding: br"}},
		{byCoding, false, 304, 0, []string{"Content-Encoding: br"}},
		{byTransform, false, 200, -1, []string{html, "Cache-Control: public, No-Transform"}},
		{byBuffering, false, 200, -1, []string{html, "X-Accel-Buffering: no"}},
		{compressed, true, 200, -1, []string{html, "X-Accel-Buffering: yes"}},
		{byDigest, false, 200, -1, []string{html, "Content-Digest: sha-256=:a:"}},
		{byDigest, false, 200, -1, []string{html, "Repr-Digest: sha-256=:a:"}},
		{byDigest, false, 200, -1, []string{html, "Digest: sha-256=a"}},
		{byDigest, false, 200, -1, []string{html, "Content-MD5: a"}},
		{byType, false, 200, -1, []string{"Content-Type: image/png"}},
		{byType, false, 200, -1, nil},
		{byType, false, 200, -1, []string{html, html}},
		{byType, false, 200, -1, []string{"Content-Type: text/event-stream"}},
	} {
		resp := &http.Response{StatusCode: c.status, ContentLength: c.length, Header: fields(c.lines...)}
		if why, varies := r.judge(resp, false); why != c.why || varies != c.varies {
			t.Errorf("%d, %d bytes, %v: %v %v", c.status, c.length, c.lines, why, varies)
		}
	}
}

func TestRules_RequestsThatGetThePlainAnswer(t *testing.T) {
	t.Parallel()
	r := standard(t)
	const accepts, other = "Accept-Encoding: gzip", "Sec-Fetch-Site: cross-site"
	for _, c := range []struct {
		why   skip
		minor int
		lines []string
	}{
		{compressed, 1, []string{accepts}},
		{byVersion, 0, []string{accepts}},
		{byRange, 1, []string{accepts, "Range: bytes=0-1"}},
		{byTransform, 1, []string{accepts, "Cache-Control: no-transform"}},
		{byClient, 1, nil},
		{byOrigin, 1, []string{accepts, other, "Cookie: a=b", "Sec-Fetch-Dest: image"}},
		{byOrigin, 1, []string{accepts, other, "Authorization: a", "Sec-Fetch-Dest: empty"}},
		{byOrigin, 1, []string{accepts, other, "Cookie: a=b", "Sec-Fetch-Dest: iframe"}},
		{byOrigin, 1, []string{accepts, other, "Cookie: a=b"}},
		{compressed, 1, []string{accepts, other, "Cookie: a=b", "Sec-Fetch-Dest: document"}},
		{compressed, 1, []string{accepts, other}},
		{compressed, 1, []string{accepts, "Sec-Fetch-Site: same-site", "Cookie: a=b"}},
		{compressed, 1, []string{accepts, "Cookie: a=b"}},
	} {
		q := &http.Request{ProtoMajor: 1, ProtoMinor: c.minor, Header: fields(c.lines...)}
		if _, why := r.wanted(q); why != c.why {
			t.Errorf("1.%d %v: %v", c.minor, c.lines, why)
		}
	}
}

func TestHead_TagsOf304AreThoseOfThe200(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		asked, tag, want string
		wanted           wire.Coding
	}{
		{`W/"a"`, `"a"`, `W/"a"`, wire.Gzip},
		{`W/"a"`, `"a"`, `W/"a"`, wire.Identity},
		{`"a"`, `"a"`, `"a"`, wire.Gzip},
		{`"a", W/"a"`, `"a"`, `W/"a"`, wire.Gzip},
		{`"a", W/"a"`, `"a"`, `"a"`, wire.Identity},
		{``, `"a"`, `W/"a"`, wire.Gzip},
		{``, `"a"`, `"a"`, wire.Identity},
		{`"b", W/"a,b"`, `"a,b"`, `W/"a,b"`, wire.Identity},
		{`W/"a"`, `W/"a"`, `W/"a"`, wire.Gzip},
	} {
		h := fields("Etag: " + c.tag)
		if weakensNotModified(h, []string{c.asked}, c.wanted) {
			weaken(h)
		}
		if got := h.Get("Etag"); got != c.want {
			t.Errorf("%s for %s: %s", c.tag, c.asked, got)
		}
	}
}

func TestHead_WeakTagsAreOfferedInBothForms(t *testing.T) {
	t.Parallel()
	for asked, want := range map[string]string{
		`W/"a"`: `W/"a", "a"`, `"a"`: "", `*`: "", ``: "", `"b" ,W/"a,c"`: `"b", W/"a,c", "a,c"`,
		`W/"a", W/"b"`: `W/"a", "a", W/"b", "b"`, `"W/"`: "", `W/"a`: "", `W/"a", b`: "", `W/"a"b"`: "",
	} {
		if got, changed := unweakened([]string{asked}); changed != (want != "") || changed && got != want {
			t.Errorf("%s: %s, %v", asked, got, changed)
		}
	}
}

func TestHead_VaryIsAddedOnceAndToACopy(t *testing.T) {
	t.Parallel()
	shared := make([]string, 1, 4)
	shared[0] = "Origin"
	h := http.Header{"Vary": shared}
	if !sayVary(h) || sayVary(h) || fmt.Sprint(h["Vary"]) != "[Origin Accept-Encoding]" || shared[:2][1] != "" {
		t.Errorf("%v, %v", h, shared[:2])
	}
	if h := fields("Vary: *"); sayVary(h) {
		t.Errorf("%v", h)
	}
}

// FuzzTags has every tag survive, and every weak one be there strongly.
func FuzzTags(f *testing.F) {
	f.Add(`W/"a", "b"`)
	f.Add(`W/"a,W/"`)
	f.Fuzz(func(t *testing.T, asked string) {
		var before, after []string
		eachTag([]string{asked}, func(tag string) { before = append(before, tag) })
		value, changed := unweakened([]string{asked})
		if !changed {
			return
		}
		eachTag([]string{value}, func(tag string) { after = append(after, tag) })
		has := map[string]bool{}
		for _, tag := range after {
			has[tag] = true
		}
		for _, tag := range before {
			if !has[tag] || !has[strings.TrimPrefix(tag, "W/")] {
				t.Errorf("%q of %q is not in %q", tag, asked, value)
			}
		}
		if len(value) > 2*len(asked)+2*len(before)+2 {
			t.Errorf("%d bytes became %d", len(asked), len(value))
		}
	})
}
