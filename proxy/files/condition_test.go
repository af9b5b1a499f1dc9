package files

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestDir_HeedsConditions(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"f.txt": "0123456789"})
	at := time.Date(2026, time.March, 1, 12, 0, 0, 500, time.UTC)
	if err := os.Chtimes(filepath.Join(dir, "f.txt"), at, at); err != nil {
		t.Fatal(err)
	}
	d := dirOf(t, Options{Directory: dir})
	etag := get(t, d, "GET", "/f.txt").Header.Get("Etag")
	before, same, after := at.Add(-time.Hour), at, at.Add(time.Hour)
	date := func(t time.Time) string { return t.Format(http.TimeFormat) }
	for _, c := range []struct {
		fields []string
		status int
	}{
		{[]string{"If-None-Match", etag}, 304},
		{[]string{"If-None-Match", "W/" + etag}, 304},
		{[]string{"If-None-Match", `"a,b", W/"c" ,` + etag}, 304},
		{[]string{"If-None-Match", `"a"`, "If-None-Match", etag}, 304},
		{[]string{"If-None-Match", "*"}, 304},
		{[]string{"If-None-Match", `"a"`}, 200},
		{[]string{"If-None-Match", `"a"`, "If-Modified-Since", date(after)}, 200},
		{[]string{"If-None-Match", etag[1:]}, 200},
		{[]string{"If-None-Match", ""}, 200},
		{[]string{"If-Modified-Since", date(same)}, 304},
		{[]string{"If-Modified-Since", date(after)}, 304},
		{[]string{"If-Modified-Since", date(before)}, 200},
		{[]string{"If-Modified-Since", "yesterday"}, 200},
		{[]string{"If-Match", etag}, 200},
		{[]string{"If-Match", "W/" + etag}, 412},
		{[]string{"If-Match", `"a"`}, 412},
		{[]string{"If-Match", "*"}, 200},
		{[]string{"If-Match", `"a"`, "If-Unmodified-Since", date(after)}, 412},
		{[]string{"If-Match", etag, "If-Unmodified-Since", date(before)}, 200},
		{[]string{"If-Unmodified-Since", date(same)}, 200},
		{[]string{"If-Unmodified-Since", date(before)}, 412},
		{[]string{"If-Match", etag, "If-None-Match", etag}, 304},
		{[]string{"Range", "bytes=0-1", "If-Range", etag}, 206},
		{[]string{"Range", "bytes=0-1", "If-Range", "W/" + etag}, 200},
		{[]string{"Range", "bytes=0-1", "If-Range", `"a"`}, 200},
		{[]string{"Range", "bytes=0-1", "If-Range", date(same)}, 206},
		{[]string{"Range", "bytes=0-1", "If-Range", date(after)}, 200},
		{[]string{"Range", "bytes=0-1", "If-Range", date(before)}, 200},
		{[]string{"Range", "bytes=0-1", "If-None-Match", etag}, 304},
		{[]string{"Range", "bytes=90-", "If-None-Match", etag}, 304},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			want := c.status
			if want == 206 && method == "HEAD" {
				want = 200
			}
			g := get(t, d, method, "/f.txt", c.fields...)
			if g.StatusCode != want {
				t.Errorf("%s %q: %d", method, c.fields, g.StatusCode)
			}
			if want == 304 && (g.Header.Get("Etag") != etag || g.Header.Get("Content-Length") != "" ||
				g.Header.Get("Content-Type") != "") {
				t.Errorf("%s %q: %v", method, c.fields, g.Header)
			}
		}
	}
}

func TestDir_ATimeThatSaysNothingIsNoValidator(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"f.txt": "0123456789"})
	d := dirOf(t, Options{Directory: dir})
	for _, c := range []struct {
		at             time.Time
		etag, modified bool
	}{
		{time.Unix(0, 0), false, false},
		{time.Unix(1, 0), false, false},
		{time.Date(1980, 1, 1, 0, 0, 1, 0, time.UTC), false, false}, // of buildpacks
		{time.Date(1980, 1, 2, 0, 0, 0, 0, time.UTC), false, false},
		{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), true, true},
		{time.Now().Add(time.Hour), true, false},
	} {
		if err := os.Chtimes(filepath.Join(dir, "f.txt"), c.at, c.at); err != nil {
			t.Fatal(err)
		}
		g := get(t, d, "GET", "/f.txt")
		if (g.Header.Get("Etag") != "") != c.etag || (g.Header.Get("Last-Modified") != "") != c.modified {
			t.Errorf("%v: %v", c.at, g.Header)
		}
		if g = get(t, d, "GET", "/f.txt", "If-None-Match", `""`, "If-Modified-Since",
			time.Now().Format(http.TimeFormat)); g.StatusCode != 200 {
			t.Errorf("%v: %d", c.at, g.StatusCode)
		}
	}
}

// FuzzEntityTags wants that a list always comes to its end, and that our tag is
// found behind any other.
func FuzzEntityTags(f *testing.F) {
	for _, seed := range []string{`"a"`, `W/"a,b", "c"`, `*`, `"`, `W/`, `a,b`, `"a" "b"`} {
		f.Add(seed)
	}
	v := validators{etag: `"ours"`}
	f.Fuzz(func(t *testing.T, list string) {
		v.matches([]string{list}, weak)
		if len(list) > 0 && list[0] == '"' && list[len(list)-1] == '"' && len(list) > 1 {
			return
		}
		for rest := list; rest != ""; {
			before := len(rest)
			if _, rest = nextTag(rest); len(rest) >= before {
				t.Fatalf("%q does not end", list)
			}
		}
	})
}
