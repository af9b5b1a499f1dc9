package config

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sethvargo/go-envconfig"
)

// judged is what a form makes of a text, or its error after "error ".
func judged(f form, given string) string {
	text, err := f.parse(given)
	if err != nil {
		return "error " + err.Error()
	}
	return text
}

func TestTarget_IsReadAsWritten(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]Target{
		"/articles/*":               {Path: "/articles/", Rest: true},
		"/*":                        {Path: "/", Rest: true},
		"/index.html":               {Path: "/index.html"},
		"/a%2Fb?x=1#top":            {Path: "/a%2Fb", Query: "x=1", HasQuery: true, Fragment: "top"},
		"/a?":                       {Path: "/a", HasQuery: true},
		"https://example.com/*":     {Origin: "https://example.com", Path: "/", Rest: true},
		"https://example.com":       {Origin: "https://example.com", Path: "/"},
		"http://h:8080?x":           {Origin: "http://h:8080", Path: "/", Query: "x", HasQuery: true},
		"https://[::1]:8443/a/b/*":  {Origin: "https://[::1]:8443", Path: "/a/b/", Rest: true},
		"https://example.com//a":    {Origin: "https://example.com", Path: "//a"},
		"/a/*?utm=1":                {Path: "/a/", Rest: true, Query: "utm=1", HasQuery: true},
		"HTTPS://Example.com/":      {Origin: "https://Example.com", Path: "/"},
		"/old%20name/with;params/*": {Path: "/old%20name/with;params/", Rest: true},
	} {
		var got Target
		if err := got.EnvDecode(given); err != nil || got != want {
			t.Errorf("%s: %+v, %v", given, got, err)
		}
	}
}

func TestTarget_RefusesWhatLeadsElsewhere(t *testing.T) {
	t.Parallel()
	for _, given := range []string{
		"//evil.example/*", "/\\evil.example", "/%2Fevil.example", "/%5cevil.example", "articles/*", "javascript:alert(1)",
		"ftp://a/", "https://user:pass@a/", "https:///a", "/a*", "/*/a", "/a/**", "/a/../b", "/a/%2e%2E/b", "/./a", "/a b",
		"/a\tb",
		"/a%2", "/a%zz", "/é", "https://a b/", "/a?b c", "/a#b c", "https://a:99999/", "/a\"b", "https://example.com*",
	} {
		if got := judged(redirectTarget(), given); !strings.HasPrefix(got, "error ") {
			t.Errorf("%q was taken as %s", given, got)
		}
	}
	for _, given := range []string{"https://a/*", "/a?b", "/a#b", "a", "//a/*"} {
		if got := judged(rewriteTarget(), given); !strings.HasPrefix(got, "error ") {
			t.Errorf("%q was taken as a rewrite", given)
		}
	}
}

func TestHeaderRules_AreReadInOrder(t *testing.T) {
	t.Parallel()
	var got HeaderRules
	err := got.EnvDecode("Strict-Transport-Security=max-age=31536000%3B includeSubDomains; x-content-type-options = " +
		"nosniff\n" +
		"-server;+Link=</a.css>, </b.css>;?Cache-Control=no-cache;X-Empty=;")
	want := HeaderRules{
		{HeaderSet, "Strict-Transport-Security", "max-age=31536000; includeSubDomains"},
		{HeaderSet, "X-Content-Type-Options", "nosniff"},
		{HeaderRemove, "Server", ""},
		{HeaderAdd, "Link", "</a.css>, </b.css>"},
		{HeaderDefault, "Cache-Control", "no-cache"},
		{HeaderSet, "X-Empty", ""},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if got.Masked() != "Strict-Transport-Security=***;X-Content-Type-Options=***;-Server;+Link=***;"+
		"?Cache-Control=***;X-Empty=***" {
		t.Error(got.Masked())
	}
}

func TestHeaderRules_RefuseProtectedFieldsHoweverTheyAreSpelt(t *testing.T) {
	t.Parallel()
	for name, word := range map[string]string{
		"Host": "LB_HOST_HEADER", "content-length": "frames", "Transfer-Encoding": "frames", "Connection": "connection",
		"Keep-Alive": "connection", "TE": "connection", "Trailer": "frames", "Upgrade": "connection",
		"X-Forwarded-For": "LB_TRUSTED_PROXIES", "X-Forwarded-Anything": "LB_TRUSTED_PROXIES",
		"x_forwarded_for": "LB_TRUSTED_PROXIES", "X.Forwarded.Host": "LB_TRUSTED_PROXIES", "Forwarded": "LB_TRUSTED_PROXIES",
		"X-Real-IP": "LB_TRUSTED_PROXIES", "traceparent": "OTEL_PROPAGATORS", "Tracestate": "OTEL_PROPAGATORS",
		"X-Request-Id": "needs", "CDN-Loop": "needs", "Age": "LB_CACHE", "Cache-Status": "LB_CACHE",
		"Content-Encoding": "LB_COMPRESS", "Content-Range": "frames", "Set-Cookie": "LB_SESSION_AFFINITY",
		"X-Serverless-Authorization": "LB_IDENTITY",
	} {
		for _, rule := range []string{name + "=x", "+" + name + "=x", "-" + name, "?" + name + "=x"} {
			got := judged(headerRules(), rule)
			if !strings.HasPrefix(got, "error has a rule, number 1, that changes ") || !strings.Contains(got, word) {
				t.Errorf("%s: %s", rule, got)
			}
		}
	}
}

func TestHeaderRules_ErrorsShowNoValue(t *testing.T) {
	t.Parallel()
	for _, given := range []string{
		"X-Key=a;hush", "hush", "X-Key=hush%zz", "X-Key=hush%00", "X-Key=hush%0a", "X Key=hush", "=hush", "-X-Key=hush", ";",
		"X-A=1;h ush=1", "X-Key=\x01hush", "X-Key=hush%7f",
	} {
		got := judged(headerRules(), given)
		if !strings.HasPrefix(got, "error ") || strings.Contains(got, "hush") {
			t.Errorf("%q: %s", given, got)
		}
	}
}

func TestOrigins_AreReadAsABrowserWritesThem(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"https://app.example.com":                         "https://app.example.com",
		"HTTPS://App.Example.com:443;http://localhost:80": "https://app.example.com;http://localhost",
		"https://*.example.com;http://localhost:5173":     "https://*.example.com;http://localhost:5173",
		"*":                        "*",
		"capacitor://localhost":    "capacitor://localhost",
		"https://[::1]:8443":       "https://[::1]:8443",
		"app.example.com":          "error has the item",
		"https://a/":               "error has the item",
		"https://a/b":              "error has the item",
		"*;https://a":              "error has '*'",
		"https://a.*.b":            "error has the item",
		"https://user:pw@a":        "error has the item",
		"null":                     "error has the item",
		"https://":                 "error has the item",
		";":                        "error names no origin",
		"https://*":                "error has the item",
		"https://a;https://b:http": "error has the item",
	} {
		if got := judged(origins(), given); !strings.HasPrefix(got, want) ||
			!strings.HasPrefix(want, "error") && got != want {
			t.Errorf("%q: %s", given, got)
		}
	}
}

func TestNames_AreNormalised(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"get;HEAD; post;GET": "GET,HEAD,POST", "*": "*", "*;GET": "error", "G ET": "error", ";": "error",
	} {
		if got := judged(corsMethods(), given); !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s", given, got)
		}
	}
	if got := judged(corsFields(), "x-a;X-b"); got != "X-A,X-B" {
		t.Error(got)
	}
}

func TestContent_FilesAreSeenBeforeTheyAreNeeded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, large := filepath.Join(dir, "404.html"), filepath.Join(dir, "large")
	for name, text := range map[string]string{file: "gone", large: strings.Repeat("x", maxFile+1)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		f           form
		given, want string
	}{
		{errorFiles(), "404=" + file + ";503 = " + file, "404=" + file + ";503 = " + file},
		{smallFile(), large, "error names a file of more than 1 MiB"},
		{errorFiles(), "200=" + file, `error has the item`},
		{errorFiles(), "0404=" + file, `error has the item`},
		{errorFiles(), file, `error has the item`},
		{errorFiles(), "404=" + file + ";404=" + file, "error names two files for 404"},
		{errorFiles(), ";", "error names no file"},
		{smallFile(), file, file},
		{smallFile(), dir, "error names something that is not a file"},
		{directory(), dir, dir},
		{directory(), file, "error names something that is not a directory"},
		{directory(), dir + "/none", "error names a directory that does not exist"},
		{fileName(), "index.html", "index.html"},
		{fileName(), "a/index.html", "error is a path"},
		{fileName(), ".index", "error begins with a dot"},
		{fallbackFile(), "/index.html", "/index.html"},
		{fallbackFile(), "/app/index.html", "/app/index.html"},
		{fallbackFile(), "index.html", "error is no file"},
		{fallbackFile(), "/", "error is no file"},
		{fallbackFile(), "/a/", "error is no file"},
		{fallbackFile(), "/../a", "error has a segment"},
		{fallbackFile(), "/a//b", "error has a segment"},
		{bodyText(), "User-agent: *%0ADisallow: /", "User-agent: *\nDisallow: /"},
		{bodyText(), "100%", "error has a '%'"},
		{bodyText(), "%ff", "error is not UTF-8"},
	} {
		if got := judged(c.f, c.given); !strings.HasPrefix(got, c.want) {
			t.Errorf("%q: %s", c.given, got)
		}
	}
}

func TestRouteTypes_DecodeFromTheEnvironment(t *testing.T) {
	t.Parallel()
	var got struct {
		Redirect Target        `env:"A"`
		Rewrite  RewriteTarget `env:"B"`
		Headers  HeaderRules   `env:"C"`
		Origins  Origins       `env:"D"`
		Errors   ErrorFiles    `env:"E"`
		Unset    HeaderRules   `env:"F"`
	}
	given := envconfig.MapLookuper(map[string]string{
		"A": "https://a/*", "B": "/v1/*", "C": "X-A=1,2;-Server", "D": "https://a;https://b", "E": "404=/a;503=/b",
	})
	if err := envconfig.ProcessWith(context.Background(), &envconfig.Config{Target: &got, Lookuper: given}); err != nil {
		t.Fatal(err)
	}
	if got.Redirect.Origin != "https://a" || got.Rewrite.Path != "/v1/" || len(got.Headers) != 2 ||
		len(got.Origins) != 2 ||
		!reflect.DeepEqual(got.Errors, ErrorFiles{404: "/a", 503: "/b"}) || got.Unset != nil {
		t.Errorf("%+v", got)
	}
}

func FuzzTarget(f *testing.F) {
	for _, seed := range []string{"/articles/*", "https://example.com/*?a#b", "//a", "/%2fb", "http://[::1]", "/a/./b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		var target Target
		if target.EnvDecode(given) != nil {
			return
		}
		if given == "" {
			return
		}
		whole := target.Origin + target.Path + target.Query + target.Fragment
		if !inTarget(whole) || !strings.HasPrefix(target.Path, "/") || target.Rest && !strings.HasSuffix(target.Path, "/") {
			t.Errorf("%q: %+v", given, target)
		}
		if target.Origin == "" && hasLeadingSlashes(target.Path) {
			t.Errorf("%q leads to another host", given)
		}
	})
}

func FuzzHeaderRules(f *testing.F) {
	for _, seed := range []string{"A=b;-C;+D=%3B;?E=f", "Host=a", "A", "-", ";", "=", "A=%00", "A=\n-B"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		var rules HeaderRules
		if rules.EnvDecode(given) != nil {
			return
		}
		for _, r := range rules {
			if !isToken(r.Name) || strings.ContainsAny(r.Value, "\r\n\x00") || protectedField(r.Name) != "" {
				t.Errorf("%q: %+v", given, r)
			}
		}
	})
}

func FuzzOrigins(f *testing.F) {
	for _, seed := range []string{"https://a", "https://*.a:1;http://b", "*", "null"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		var o, again Origins
		if given == "" || o.EnvDecode(given) != nil {
			return
		}
		if err := again.EnvDecode(strings.Join(o, ";")); err != nil || !slices.Equal(o, again) {
			t.Errorf("%q: %q became %q, %v", given, o, again, err)
		}
	})
}

func FuzzErrorFiles(f *testing.F) {
	f.Add("404=/a;503=/b")
	f.Add("404=/srv/errors/404.html;500-599=/srv/errors/5xx.html")
	f.Add("503=/srv/maintenance.html\n429=/srv/slow.json;")
	f.Add("5xx=/a;404=relative;=/b;404=/a;404=/b;600=/c")
	f.Fuzz(func(t *testing.T, given string) {
		var files ErrorFiles
		if files.EnvDecode(given) != nil {
			return
		}
		for status, path := range files {
			if status < 400 || status > 599 || path == "" {
				t.Errorf("%q: %d %q", given, status, path)
			}
		}
	})
}

func FuzzTokens(f *testing.F) {
	f.Add("GET;head,*")
	f.Add("Content-Type;Authorization;X-Requested-With")
	f.Add("GET, POST, PUT, PATCH, DELETE, OPTIONS")
	f.Add("X Bad;x_y;\u00c9;*;")
	f.Fuzz(func(t *testing.T, given string) {
		for _, form := range []form{corsMethods(), corsFields()} {
			text, err := form.parse(given)
			if again, errAgain := form.parse(text); err == nil && (errAgain != nil || again != text) {
				t.Errorf("%q became %q and %q", given, text, again)
			}
		}
	})
}
