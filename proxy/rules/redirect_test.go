package rules

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/config"
)

func redirect(t testing.TB, target string, status int) *Redirect {
	t.Helper()
	var read config.Target
	if err := read.EnvDecode(target); err != nil {
		t.Fatalf("%q %v", target, err)
	}
	return NewRedirect(read, status)
}

func TestRedirect_TakesTheRestAndTheQuery(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ target, prefix, path, query, want string }{
		{"/articles/*", "/blog", "/blog/2020/x", "p=1", "/articles/2020/x?p=1"},
		{"/articles/*", "/blog", "/blog", "", "/articles"},
		{"/articles/*", "/blog", "/blog/", "", "/articles/"},
		{"/articles", "/blog", "/blog/x", "p=1", "/articles?p=1"},
		{"/articles?from=blog", "/blog", "/blog/x", "p=1", "/articles?from=blog"},
		{"/articles?", "/blog", "/blog/x", "p=1", "/articles?"},
		{"/articles#top", "/blog", "/blog/x", "p=1", "/articles?p=1#top"},
		{"https://example.com/*", "", "/a/b", "p=1", "https://example.com/a/b?p=1"},
		{"https://example.com/*", "", "/", "", "https://example.com/"},
		{"https://example.com/*", "/foo", "/foo", "", "https://example.com/"},
		{"https://example.com", "/foo", "/foo/a", "", "https://example.com/"},
		{"https://example.com/new/*", "/foo", "/foo/%61%2F", "", "https://example.com/new/%61%2F"},
		{"https://example.com/*", "", "//evil.example/", "", "https://example.com//evil.example/"},
		{"/*", "/foo", "/foo/bar", "", "/bar"},
		{"/*", "/foo", "/foo", "x", "/?x"},
	} {
		got := redirect(t, c.target, 302).Answer(c.path, c.query, c.prefix)
		if l := got.Header.Get("Location"); l != c.want || got.StatusCode != 302 {
			t.Errorf("%s at %s/*, %s?%s: %q", c.target, c.prefix, c.path, c.query, l)
		}
	}
	if NewRedirect(config.Target{}, 302) != nil {
		t.Error("a redirect without a target")
	}
}

func TestRedirect_NeverLeadsToAHostOfTheClientsChoice(t *testing.T) {
	t.Parallel()
	strip := redirect(t, "/*", 308)
	for _, rest := range []string{
		"//evil.example/", "///evil.example", `/\evil.example`, `/\/evil.example`, "/%2Fevil.example", "/%2f%2Fevil.example",
		"/%5Cevil.example", `/%2f\%5c/evil.example`, "//%2fevil.example",
	} {
		got := strip.Answer("/foo"+rest, "", "/foo").Header.Get("Location")
		if got != "/evil.example" && got != "/evil.example/" {
			t.Errorf("%s leads to %s", rest, got)
		}
	}
}

func TestRedirect_HasNoBody(t *testing.T) {
	t.Parallel()
	resp := redirect(t, "/x", 301).Answer("/a", "", "/a")
	if resp.ContentLength != 0 || resp.Body != http.NoBody || resp.Header.Get("Content-Length") != "0" {
		t.Errorf("%+v", resp)
	}
}

// FuzzRedirect wants that a target that is a path stays one.
func FuzzRedirect(f *testing.F) {
	for _, seed := range []string{"/foo/bar", "/foo//evil", "/foo/%2f%5c", `/foo/\`, "/foo"} {
		f.Add(seed)
	}
	strip := redirect(f, "/*", 302)
	f.Fuzz(func(t *testing.T, path string) {
		got := strip.location(path, "", "/foo")
		second := strings.ToLower(strings.TrimPrefix(got, "/"))
		if got[0] != '/' || strings.HasPrefix(second, "/") || strings.HasPrefix(second, `\`) ||
			strings.HasPrefix(second, "%2f") ||
			strings.HasPrefix(second, "%5c") {
			t.Errorf("%q leads to %q", path, got)
		}
	})
}

func TestHTTPS_KeepsHostPathAndQuery(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{"shop.example", "/a?b=c", "https://shop.example/a?b=c"},
		{"shop.example:80", "/", "https://shop.example/"},
		{"shop.example:8080", "/", "https://shop.example/"},
		{"[::1]:8080", "/", "https://[::1]/"},
		{"[::1]", "/", "https://[::1]/"},
		{"shop.example", "//evil.example", "https://shop.example//evil.example"},
		{"shop.example", "/.well-known/acme-challenge/token", ""},
		{"shop.example", "/.well-known/other", "https://shop.example/.well-known/other"},
		{"shop.example", "*", ""},
		{"", "/", ""},
	} {
		got, ok := HTTPSLocation(c[0], c[1])
		if got != c[2] || ok != (c[2] != "") {
			t.Errorf("%s %s: %q, %v", c[0], c[1], got, ok)
		}
	}
	if resp := HTTPSRedirect("https://a/"); resp.StatusCode != 308 || resp.Header.Get("Location") != "https://a/" {
		t.Errorf("%+v", resp)
	}
}
