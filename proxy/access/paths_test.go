package access

import (
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/config"
)

func paths(t testing.TB, text string) config.AccessPaths {
	t.Helper()
	var list config.AccessPaths
	if err := list.EnvDecode(text); err != nil {
		t.Fatal(err)
	}

	return list
}

func TestAllowedPaths_HoldOnlyWhatIsPlain(t *testing.T) {
	t.Parallel()
	allowed := NewAllowedPaths(paths(t, "/healthz;/public/*;/exact/"))
	for path, want := range map[string]bool{
		"/healthz": true, "/public": true, "/public/": true, "/public/a/b": true, "/exact/": true,
		"/": false, "/healthz/": false, "/healthz/x": false, "/healthzx": false, "/publicx": false, "/PUBLIC/a": false,
		"/exact": false, "/public/../admin": false, "/public/%2e%2e/admin": false, "/public/..;/admin": false,
		"/public//a": false, `/public/..\admin`: false, "/public/%2fa": false, "/%70ublic/a": false, "*": false, "": false,
	} {
		if got := allowed.Hold(path); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
	if all := NewAllowedPaths(paths(t, "/*")); !all.Hold("/") || !all.Hold("/a/b") || all.Hold("/a/../b") {
		t.Error("/* does not hold every plain path, and no other")
	}
}

func TestDeniedPaths_HoldEverySpelling(t *testing.T) {
	t.Parallel()
	denied := NewDeniedPaths(paths(t, "/metrics;/Admin/*"))
	for _, path := range []string{
		"/metrics", "/METRICS", "/metrics/", "/metrics//", "//metrics", "//host/metrics", `/\host/metrics`, "/./metrics",
		"/x/../metrics", "/%6detrics", "/%256detrics", "/%25256detrics", "/metrics;x=1", "/metrics%3bx", "/;x/metrics",
		"/metrics%00.html", "/metrics%3Fa", "/metrics%23", `\metrics`, "/x/..;/metrics", "/x/..%2fmetrics",
		"/x%2f..%2fmetrics", `/x\..\metrics`, "/x/%2e%2e/metrics", "/x/..%20/metrics", "/%u006detrics", "/%uff4detrics",
		"/%ef%bd%8detrics", "/x%c0%af..%c0%afmetrics", "/admin", "/admin/", "/ADMIN/x", "/admin/../x", "/a/../admin/x",
		"/admin%2fx", "/admin;x/y", "/admin%5cx",
	} {
		if path[0] == '\\' {
			path = "/" + path
		}
		if !denied.Hold(path) {
			t.Errorf("%q is not held", path)
		}
	}
	for _, path := range []string{
		"/", "/metric", "/metricsx", "/metrics/x", "/administrator", "/x/admin", "/x/metrics", "*", "", "/%", "/a%zzb",
		"/x;/admin2",
	} {
		if denied.Hold(path) {
			t.Errorf("%q is held", path)
		}
	}
	if !NewDeniedPaths(paths(t, "/*")).Hold("/") {
		t.Error("/* does not hold the root")
	}
}

// A client decides how long its path is. What has many readings is bounded,
// what has one is not.
func TestDeniedPaths_BoundTheWorkOfOnePath(t *testing.T) {
	t.Parallel()
	denied := NewDeniedPaths(paths(t, "/admin/*"))
	if denied.Hold("/" + strings.Repeat("a/", 30_000)) {
		t.Error("a long plain path is held")
	}
	if !denied.Hold("/" + strings.Repeat("a;/..", 1000)) {
		t.Error("a long path with many readings is not held")
	}
}

func TestPaths_AreAskedWithoutAllocation(t *testing.T) {
	denied, allowed := NewDeniedPaths(paths(t, "/admin/*")), NewAllowedPaths(paths(t, "/public/*"))
	if n := testing.AllocsPerRun(100, func() { denied.Hold("/public/a;b/../c"); allowed.Hold("/public/a") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What a loosening rule lets through is in its set in every reading that we
// know.
func FuzzAllowedPaths_NoNormalizationLeadsOut(f *testing.F) {
	for _, seed := range []string{
		"/public/a", "/public/../x", "/public/%2e%2e/x", "/public/..;/x", "/public/%252e%252e/x", `/public/..\x`,
		"/public//x", "/public/%c0%ae%c0%ae/x", "/public/%ef%bc%8e%ef%bc%8e/x", "/public/.. /x", "/public/%E3%80%82",
		"/public/%00", "/public/a%20", "/public", "/public/", "/public/%u002e%u002e/x", "/public/%3f/../x", "/PUBLIC/x",
	} {
		f.Add(seed)
	}
	allowed := NewAllowedPaths(paths(f, "/public/*"))
	inside := func(p string) bool {
		p = lower(strings.TrimRight(p, "/"))
		return p == "/public" || strings.HasPrefix(p, "/public/")
	}

	f.Fuzz(func(t *testing.T, given string) {
		if !allowed.Hold(given) {
			return
		}
		for p, depth := given, 0; depth < 4; depth++ {
			for name, n := range normalizations() {
				if q := n(p); !inside(q) {
					t.Fatalf("%q is held, but decoded %d times and %s it is %q", given, depth, name, q)
				}
			}
			decoded, err := url.PathUnescape(p)
			if err != nil {
				break
			}
			p = decoded
		}

		for decoded, changed := []byte(given), true; changed; {
			all := leniencies(decoded)
			for r := all; ; r = (r - 1) & all {
				if q := read(nil, decoded, r); !inside(string(q)) {
					t.Fatalf("%q is held, but a lenient server reads %q", given, q)
				}
				if r == 0 {
					break
				}
			}
			decoded, changed = decode(decoded)
		}
	})
}

// normalizations are what servers do with a path.
func normalizations() map[string]func(string) string {
	parameters := func(p string) string {
		var kept []string
		for segment := range strings.SplitSeq(p, "/") {
			segment, _, _ = strings.Cut(segment, ";")
			kept = append(kept, strings.TrimRight(segment, " "))
		}
		return strings.Join(kept, "/")
	}
	cut := func(p string) string {
		if i := strings.IndexAny(p, "\x00?#"); i >= 0 {
			return p[:i]
		}
		return p
	}
	slashes := func(p string) string { return strings.ReplaceAll(p, `\`, "/") }

	return map[string]func(string) string{
		"as it is":             func(p string) string { return p },
		"cleaned":              path.Clean,
		"without parameters":   func(p string) string { return path.Clean(parameters(p)) },
		"with slashes":         func(p string) string { return path.Clean(slashes(p)) },
		"cut":                  func(p string) string { return path.Clean(cut(p)) },
		"with all of these":    func(p string) string { return path.Clean(parameters(slashes(cut(p)))) },
		"parsed as a URL":      func(p string) string { return parsed(p) },
		"resolved against one": func(p string) string { return resolved(p) },
	}
}

func parsed(p string) string {
	if u, err := url.Parse(p); err == nil {
		return u.Path
	}
	return p
}

func resolved(p string) string {
	base := &url.URL{Scheme: "http", Host: "h", Path: "/"}
	if u, err := base.Parse(p); err == nil {
		return u.Path
	}
	return p
}

// A denied path is denied however it is decoded, and asking never fails.
func FuzzDeniedPaths_NoSpellingLeadsIn(f *testing.F) {
	for _, seed := range []string{"/admin", "/a/../admin", "/%61dmin", "/x/..;/admin", "/admin%2f..%2fx", "/%",
		"/%u0061dmin"} {
		f.Add(seed)
	}
	denied := NewDeniedPaths(paths(f, "/admin/*"))

	f.Fuzz(func(t *testing.T, given string) {
		if !strings.HasPrefix(given, "/") || denied.Hold(given) {
			return
		}
		p := given
		for range mostDecoding + 1 {
			for name, n := range normalizations() {
				if q := lower(n(p)); q == "/admin" || strings.HasPrefix(q, "/admin/") {
					t.Fatalf("%q is not held, but %s it is %q", given, name, q)
				}
			}
			decoded, err := url.PathUnescape(p)
			if err != nil {
				return
			}
			p = decoded
		}
	})
}
