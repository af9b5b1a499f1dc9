package files

import (
	"io"
	"mime"
	"mime/multipart"
	"strconv"
	"strings"
	"testing"
)

func TestRanges_AreReadByTheGrammar(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		field string
		size  int64
		want  ranges
	}{
		{"bytes=0-0", 10, ranges{list: []byteRange{{0, 1}}}},
		{"bytes=2-", 10, ranges{list: []byteRange{{2, 8}}}},
		{"bytes=-3", 10, ranges{list: []byteRange{{7, 3}}}},
		{"bytes=-30", 10, ranges{list: []byteRange{{0, 10}}}},
		{"bytes=8-100", 10, ranges{list: []byteRange{{8, 2}}}},
		{"Bytes=0-1", 10, ranges{list: []byteRange{{0, 2}}}},
		{"bytes=0-1, 4-5", 10, ranges{list: []byteRange{{0, 2}, {4, 2}}}},
		{"bytes=4-5,0-1,", 10, ranges{list: []byteRange{{4, 2}, {0, 2}}}},
		{"bytes=0-1,20-30", 10, ranges{list: []byteRange{{0, 2}}}},
		{"bytes=10-", 10, ranges{none: true}},
		{"bytes=-0", 10, ranges{none: true}},
		{"bytes=5-2", 10, ranges{none: true}},
		{"bytes=abc", 10, ranges{none: true}},
		{"bytes=", 10, wholeFile},
		{"bytes=,", 10, ranges{none: true}},
		{"bytes=-", 10, ranges{none: true}},
		{"bytes=1 -2", 10, ranges{none: true}},
		{"bytes=+1-2", 10, ranges{none: true}},
		{"bytes=0-99999999999999999999", 10, ranges{none: true}},
		{"bytes=0-", 0, wholeFile},
		{"bytes=-1", 0, wholeFile},
		{"bytes=0-5,0-5", 10, wholeFile}, // more than the file has
		{"bytes=" + strings.Repeat("0-0,", 10), 10, ranges{list: tenFirsts()}},
		{"bytes=" + strings.Repeat("0-0,", maxRanges+1), 1000, wholeFile},
		{"items=0-1", 10, wholeFile},
		{"bytes 0-1", 10, wholeFile},
		{"", 10, wholeFile},
	} {
		got := rangesOf(c.field, c.size)
		same := got.none == c.want.none && len(got.list) == len(c.want.list)
		for i := range got.list {
			same = same && got.list[i] == c.want.list[i]
		}
		if !same {
			t.Errorf("%q of %d: %+v", c.field, c.size, got)
		}
	}
}

func tenFirsts() []byteRange {
	list := make([]byteRange, 10)
	for i := range list {
		list[i] = byteRange{0, 1}
	}
	return list
}

func TestDir_SendsTheParts(t *testing.T) {
	t.Parallel()
	d := dirOf(t, Options{Directory: tree(t, map[string]string{"f.txt": "0123456789", "empty": ""})})
	g := get(t, d, "GET", "/f.txt", "Range", "bytes=2-4")
	if g.StatusCode != 206 || g.text != "234" || g.Header.Get("Content-Range") != "bytes 2-4/10" {
		t.Errorf("%d %q %v", g.StatusCode, g.text, g.Header)
	}
	if g = get(t, d, "GET", "/f.txt", "Range", "bytes=20-"); g.StatusCode != 416 ||
		g.Header.Get("Content-Range") != "bytes */10" {
		t.Errorf("%d %v", g.StatusCode, g.Header)
	}
	if g = get(t, d, "HEAD", "/f.txt", "Range", "bytes=2-4"); g.StatusCode != 200 || g.ContentLength != 10 {
		t.Errorf("%d %v", g.StatusCode, g.Header)
	}
	if g = get(t, d, "GET", "/f.txt", "Range", "bytes=2-4", "Range", "bytes=5-6"); g.StatusCode != 200 {
		t.Errorf("%d", g.StatusCode)
	}

	g = get(t, d, "GET", "/f.txt", "Range", "bytes=0-1,-2,4-4")
	kind, parameters, err := mime.ParseMediaType(g.Header.Get("Content-Type"))
	if err != nil || g.StatusCode != 206 || kind != "multipart/byteranges" || g.Header.Get("Content-Range") != "" {
		t.Fatalf("%d %v", g.StatusCode, g.Header)
	}
	r := multipart.NewReader(strings.NewReader(g.text), parameters["boundary"])
	for _, want := range [][2]string{{"01", "bytes 0-1/10"}, {"89", "bytes 8-9/10"}, {"4", "bytes 4-4/10"}} {
		part, err := r.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(part)
		if err != nil || string(text) != want[0] || part.Header.Get("Content-Range") != want[1] ||
			part.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%q %v, %v", text, part.Header, err)
		}
	}
	if _, err := r.NextRawPart(); err != io.EOF {
		t.Error(err)
	}
}

// FuzzRanges wants that every range is inside of the file, and all of them
// together are not more than the file.
func FuzzRanges(f *testing.F) {
	for _, seed := range []string{"bytes=0-1", "bytes=-5,3-", "bytes=9999-", "bytes=,,0-0,", "items=1"} {
		f.Add(seed, int64(10))
	}
	f.Fuzz(func(t *testing.T, field string, size int64) {
		if size < 0 {
			return
		}
		got, total := rangesOf(field, size), int64(0)
		for _, one := range got.list {
			if one.at < 0 || one.n <= 0 || one.at+one.n > size {
				t.Errorf("%q of %s: %+v", field, strconv.FormatInt(size, 10), one)
			}
			total += one.n
		}
		if total > size || len(got.list) > maxRanges || got.none && len(got.list) > 0 {
			t.Errorf("%q: %+v", field, got)
		}
	})
}
