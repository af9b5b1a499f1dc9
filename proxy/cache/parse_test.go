package cache

import (
	"strings"
	"testing"
	"time"
)

func TestDate_ThreeFormsAndNothingElse(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		text string
		want string
	}{
		{"Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37Z"},
		{"SUN, 06 NOV 1994 08:49:37 gmt", "1994-11-06T08:49:37Z"},
		{"Sunday, 06-Nov-94 08:49:37 GMT", "1994-11-06T08:49:37Z"},
		{"Thursday, 18-Aug-50 02:01:18 GMT", "2050-08-18T02:01:18Z"},
		{"Sun Nov  6 08:49:37 1994", "1994-11-06T08:49:37Z"},
		{"Sun, 06 Nov 1994 08:49:37 UTC", ""},
		{"Sun, 06 Nov 94 08:49:37 GMT", ""},
		{"Sun 06 Nov 1994 08:49:37 GMT", ""},
		{"Sun, 06  Nov  1994 08:49:37 GMT", ""},
		{"Sun, 06-Nov-1994 08:49:37 GMT", ""},
		{"Sun, 06 Nov 1994 08.49.37 GMT", ""},
		{"Sun, 06 Nov 1994 8:49:37 GMT", ""},
		{"Sun, 06 Nov 1994 08:49:37GMT", ""},
		{"Sun, 31 Feb 1994 08:49:37 GMT", ""},
		{"0", ""}, {"-1", ""}, {"", ""}, {" GMT", ""},
	} {
		at, ok := parseDate(c.text, now)
		if got := at.Format(time.RFC3339); ok != (c.want != "") || ok && got != c.want {
			t.Errorf("%q: %v, %v", c.text, got, ok)
		}
	}
}

func TestAge_TakesTheFirstNumber(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"30": 30, "030": 30, "7200, 0": 7200, "0, 7200": 0, "-5": 0, "5.0": 0, "abc": 0, "": 0, "5 ": 5,
		"2147483648": mostSeconds, "99999999999999999999": mostSeconds,
	} {
		if got := ageOf([]string{text}); got != want*time.Second {
			t.Errorf("%q: %v, want %d s", text, got, want)
		}
	}
}

func TestHasTag_ComparesWeakly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		field, tag string
		want       bool
	}{
		{`"a"`, `"a"`, true}, {`W/"a"`, `"a"`, true}, {`"a"`, `W/"a"`, true}, {`"b", "a"`, `"a"`, true},
		{`"b,c" ,W/"a"`, `"a"`, true}, {`"b,a"`, `"a"`, false}, {`"x"`, `"a"`, false}, {`a`, `a`, true}, {`*`, `"a"`, true},
		{``, `"a"`, false}, {`"a`, `"a"`, false}, {`,,"a",`, `"a"`, true},
	} {
		if got := hasTag([]string{c.field}, c.tag); got != c.want {
			t.Errorf("%s has %s: %v", c.field, c.tag, got)
		}
	}
}

func TestTarget_LosesIgnoredParameters(t *testing.T) {
	t.Parallel()
	ignored := []string{"utm_*", "fbclid"}
	for target, want := range map[string]string{
		"/x": "/x", "/x?": "/x?", "/x?a=1": "/x?a=1", "/x?utm_source=a": "/x", "/x?a=1&utm_x=2&b": "/x?a=1&b",
		"/x?fbclid=1&a": "/x?a", "/x?fbclid2=1": "/x?fbclid2=1", "/x?a?utm_=1": "/x?a?utm_=1", "/x?&&": "/x?&&",
	} {
		if got := withoutParameters(target, ignored); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
}

func TestURL_IsTheSameForTheSamePlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ scheme, host, target, want string }{
		{"http", "Example.COM:80", "/A?b", "http://example.com/A?b"},
		{"https", "example.com:443", "/", "https://example.com/"},
		{"https", "example.com:80", "/", "https://example.com:80/"},
		{"http", "[::1]:8080", "/", "http://[::1]:8080/"},
		{"http", "a", "http://b/x?y", "http://a/x?y"},
		{"http", "a", "http://b?y", "http://a/?y"},
		{"http", "a", "*", "http://a*"},
	} {
		if got := string(appendURL(nil, c.scheme, c.host, c.target)); got != c.want {
			t.Errorf("%v: %s", c, got)
		}
	}
}

func FuzzDirectives(f *testing.F) {
	for _, s := range []string{"max-age=60, private", `a="b,c", no-store`, `"`, `a="\`, "=,=,", `private="x`} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		one, two := parseControl([]string{a, b}), parseControl([]string{b, a})
		if one.noStore != two.noStore || one.private != two.private || one.noCache != two.noCache {
			t.Errorf("the order of lines changes what is forbidden: %+v, %+v", one, two)
		}
		if one.maxAge.Duration < 0 || one.maxAge.Duration > mostSeconds*time.Second {
			t.Errorf("max-age is %v", one.maxAge)
		}
		if joined := parseControl([]string{"no-store, " + a}); !joined.noStore {
			t.Error("what follows hides no-store")
		}
		parseTargeted([]string{a, b})
		ageOf([]string{a})
		parseDate(a, time.Now())
		parseRange(a, int64(len(b)))
	})
}

func FuzzVary(f *testing.F) {
	f.Add("gzip, br;q=0", "en, de;q=0.5")
	f.Add(` a , "b , c"`, "")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, name := range []string{"Foo", "Accept-Encoding", "Accept-Language"} {
			normal(name, []string{a}) // must not panic
		}
		if once := combined([]string{a, b}); combined([]string{once}) != once && strings.Count(a+b, `"`)%2 == 0 {
			t.Errorf("%q is not normal", once)
		}
		varyNames([]string{a, b})
	})
}

// TestParsing_CostIsLinear has input that is 32 times as long cost not much
// more than 32 times as much.
func TestParsing_CostIsLinear(t *testing.T) {
	measure := func(f func(string), unit string, n int) time.Duration {
		s, best := strings.Repeat(unit, n), time.Hour
		for range 5 {
			began := time.Now()
			f(s)
			best = min(best, time.Since(began))
		}
		return best
	}
	for name, f := range map[string]func(string){
		"Cache-Control": func(s string) { parseControl([]string{s}) },
		"targeted":      func(s string) { parseTargeted([]string{s}) },
		"Vary":          func(s string) { varyNames([]string{s}) },
		"combined":      func(s string) { combined([]string{s}) },
		"languages":     func(s string) { languages([]string{s}) },
		"codings":       func(s string) { codings([]string{s}) },
		"tags":          func(s string) { hasTag([]string{s}, `"x"`) },
		"parameters":    func(s string) { withoutParameters("/?"+s, []string{"utm_*"}) },
	} {
		for _, unit := range []string{"a,", `"`, `a="b,`, "x=1,", ";q=0.1,", "&utm_a"} {
			small, large := measure(f, unit, 1<<9), measure(f, unit, 1<<14)
			if large > 300*small+20*time.Millisecond { // a square would be 1024 times
				t.Errorf("%s of %q: %v for 32 times what took %v", name, unit, large, small)
			}
		}
	}
}
