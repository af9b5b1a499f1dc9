package rules

import (
	"path"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/config"
)

func rewrite(t testing.TB, target string) Rewrite {
	t.Helper()
	var read config.RewriteTarget
	if err := read.EnvDecode(target); err != nil {
		t.Fatalf("%q %v", target, err)
	}
	return NewRewrite(read)
}

func TestRewrite_JoinsTargetAndRest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ target, prefix, path, want string }{
		{"/xyz/*", "/foo", "/foo/bar", "/xyz/bar"},
		{"/xyz/*", "/foo", "/foo/", "/xyz/"},
		{"/xyz/*", "/foo", "/foo", "/xyz"},
		{"/*", "/foo", "/foo/bar", "/bar"},
		{"/*", "/foo", "/foo/", "/"},
		{"/*", "/foo", "/foo", "/"},
		{"/*", "/foo", "/foo//evil.com/", "/evil.com/"},
		{"/*", "/foo", `/foo/\evil.com/`, "/evil.com/"},
		{"/*", "/foo", `/foo\/evil.com/`, "/evil.com/"},
		{"/xyz/*", "/foo", "/foo//a", "/xyz//a"},
		{"/*", "/a/b", "/a/b/c/d", "/c/d"},
		{"/*", "/%20a", "/%20a/b", "/b"},
		{"/*", "/foo", "/%66oo/%62ar%2Fbaz", "/%62ar%2Fbaz"}, // the rest is the received bytes
		{"/v1/*", "/foo", "/foo/a%2fb;c=d", "/v1/a%2fb;c=d"},
		{"/v1/*", "", "/a/b", "/v1/a/b"},
		{"/*", "", "/a/b", "/a/b"},
		{"/index.html", "/foo", "/foo/bar", "/index.html"},
		{"/index.html", "/foo", "/foo/../../x", "/index.html"},
		{"/v1/*", "/foo", "/foo/a/../b", "/v1/a/../b"},
		{"/v1/*", "/foo", "/foo/a..b/..c", "/v1/a..b/..c"},
		{"/*", "/foo", "*", "*"},
		{"", "/foo", "/foo/bar", "/foo/bar"},
	} {
		w := Rewrite{}
		if c.target != "" {
			w = rewrite(t, c.target)
		}
		if got, ok := w.Path(c.path, c.prefix); !ok || got != c.want {
			t.Errorf("%s at %s/*, %s: %q, %v", c.target, c.prefix, c.path, got, ok)
		}
	}
}

func TestRewrite_NoSpellingLeadsOutOfTheTarget(t *testing.T) {
	t.Parallel()
	w := rewrite(t, "/public/*")
	for _, rest := range []string{
		"/..", "/../admin", "/a/../../admin", "/%2e%2e/admin", "/%2E./admin", "/..%2fadmin", "/..%5Cadmin", `/..\admin`,
		"/..;x=1/admin", "/%2e%2e%2fadmin", "/a/..//../admin", "/./../admin", "/;/../admin", "//../admin",
		"/a/%2e%2e/%2e%2e/admin",
	} {
		if got, ok := w.Path("/foo"+rest, "/foo"); ok {
			t.Errorf("%s became %s", rest, got)
		}
	}
}

func TestRewrite_AServiceLearnsTheStrippedPrefix(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ target, prefix, want string }{
		{"/*", "/api", "/api"}, {"/*", "", ""}, {"/v1/*", "/api", ""}, {"/v1/*", "/api/v1", "/api"},
		{"/index.html", "/api", ""},
		{"/api/*", "/api", ""},
	} {
		if got := rewrite(t, c.target).Stripped(c.prefix); got != c.want {
			t.Errorf("%s at %s/*: %q", c.target, c.prefix, got)
		}
	}
	for _, c := range [][3]string{
		{"", "/api", "/api"}, {"/gate", "/api", "/gate/api"}, {"/gate/", "/api", "/gate/api"}, {"//evil", "/api", "/api"},
		{"x", "/api", "/api"},
		{"/a, /b", "/api", "/api"}, {"/a?b", "/api", "/api"}, {"/", "/api", "/api"},
	} {
		if got := JoinPrefix(c[0], c[1]); got != c[2] {
			t.Errorf("%q and %q: %q", c[0], c[1], got)
		}
	}
}

func TestRewrite_ARedirectGetsItsPrefixBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ target, prefix, location, want string }{
		{"/*", "/api", "/login?next=%2F", "/api/login?next=%2F"},
		{"/*", "/api", "/", "/api/"},
		{"/*", "/api", "/api/login", ""}, // has it already
		{"/*", "/api", "/api", ""},
		{"/*", "/api", "/apix", "/api/apix"},
		{"/*", "/api", "https://shop.example/login", "https://shop.example/api/login"},
		{"/*", "/api", "http://Shop.example:80/login", "http://Shop.example:80/api/login"},
		{"/*", "/api", "//shop.example/login", "//shop.example/api/login"},
		{"/*", "/api", "https://shop.example", "https://shop.example/api/"},
		{"/*", "/api", "https://shop.example/api/x", ""},
		{"/*", "/api", "https://other.example/login", ""},
		{"/*", "/api", "//other.example/login", ""},
		{"/*", "/api", "ftp://shop.example/login", ""},
		{"/*", "/api", "login", ""},
		{"/*", "/api", "../login", ""},
		{"/*", "/api", "", ""},
		{"/v1/*", "/api", "/v1/login", "/api/login"},
		{"/v1/*", "/api", "/v1", "/api"},
		{"/v1/*", "/api", "/v1?a", "/api?a"},
		{"/v1/*", "/api", "/v12/login", ""},
		{"/v1/*", "/api", "/login", ""},
		{"/v1/*", "", "/v1//evil.example", "/evil.example"},
		{"/v1/*", "", "/v1", "/"},
		{"/index.html", "/api", "/login", ""},
		{"/*", "", "/login", ""},
	} {
		got, ok := rewrite(t, c.target).Location(c.location, c.prefix, "shop.example")
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%s at %s/*, %s: %q, %v", c.target, c.prefix, c.location, got, ok)
		}
	}
}

func TestRewrite_WithoutOneNothingIsAllocated(t *testing.T) {
	strip := rewrite(t, "/*")
	allocs := testing.AllocsPerRun(100, func() {
		Rewrite{}.Path("/api/x", "/api")
		Rewrite{}.Location("/x", "/api", "h")
		strip.Path("/api/x.js", "/api")
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// FuzzRewrite wants that a path made of a target is below it for the most
// lenient reader.
func FuzzRewrite(f *testing.F) {
	for _, seed := range []string{"/foo/bar", "/foo/..%2f..", "/foo/%2e%2e/x", `/foo/\..\x`, "/foo;a/..;b/../c",
		"/foo//evil", "/foo/%252e"} {
		f.Add(seed)
	}
	under, strip := rewrite(f, "/v1/*"), rewrite(f, "/*")
	f.Fuzz(func(t *testing.T, given string) {
		if !strings.HasPrefix(given, "/") {
			return
		}
		if got, ok := strip.Path(given, "/foo"); !ok || len(got) > 1 && strings.IndexByte(`/\`, got[1]) >= 0 ||
			got[0] != '/' {
			t.Errorf("%q became %q", given, got)
		}

		got, ok := under.Path(given, "/foo")
		if !ok {
			return
		}
		segments := strings.Split(strings.ReplaceAll(decoded(got), `\`, "/"), "/")
		for i := range segments {
			segments[i], _, _ = strings.Cut(segments[i], ";")
		}
		if resolved := path.Clean(strings.Join(segments, "/")); resolved != "/v1" && !strings.HasPrefix(resolved, "/v1/") {
			t.Errorf("%q became %q, which is %q", given, got, resolved)
		}
	})
}
