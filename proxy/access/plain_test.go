package access

import "testing"

func TestPlain_IsReadInOneWay(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/": true, "/a": true, "/a/": true, "/a/b.txt": true, "/.well-known/x": true, "/..a": true, "/a%20b": true,
		"/a%41":          true,
		"/%C3%A9t%C3%A9": true, "/a:b@c!$&'()*+,=~": true, "/a%3Db": true, "/%E6%97%A5": true, "/...a": true,
		"": false, "a": false, "*": false, "//": false, "/a//b": false, "/./a": false, "/a/..": false, "/a/.": false,
		"/a/...": false,
		"/a;b":   false, `/a\b`: false, "/a%2fb": false, "/a%2Fb": false, "/a%5cb": false, "/a%2e": false, "/a%25": false,
		"/a%00":  false,
		"/a%3bb": false, "/a%23": false, "/a%3f": false, "/a%0a": false, "/a%7f": false, "/a%": false, "/a%4": false,
		"/a%zz":  false,
		"/a/+/b": true, "/a/+": true, "/a/b+c": true, "/a/+../b": false, "/a/%2b../b": false, "/a/a%2b": true,
		"/a/..+": false, "/a/.+.": false,
		"/a/..%20/b": false, "/a/%20..": false, "/a/%20": false, "/a#b": false, "/a b": false, "/a\x80": false,
		"/a\xc3\xa9": false,
		"/%c0%af":    false, "/%c0%ae": false, "/%e0%80%af": false, "/%ef%bc%8f": false, "/%ef%bc%8e": false,
		"/%e2%80%a4": false,
		"/%C3":       false, "/%C3a": false, "/%E6%97": false, "/%f0%82%82%af": false,
	} {
		if got := Plain(path); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
}
