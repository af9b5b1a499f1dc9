package route

import (
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/proxy/wire"
)

func TestFind_APathThatReadsTwoWaysIsRefused(t *testing.T) {
	t.Parallel()
	table := compiled(t, ByRequest, "public=/public/*", "admin=/admin/*", "files=/files/*")
	wantRoutes(t, table, map[string]string{
		"x/public/..%2fadmin":                      "ambiguous",
		"x/public/%2e%2e/admin":                    "ambiguous",
		"x/public/../admin":                        "ambiguous",
		`x/public\..\admin`:                        "ambiguous",
		"x/public/..%5Cadmin":                      "ambiguous",
		"x/public/..;/admin":                       "ambiguous",
		"x/public/..;a=b/admin":                    "ambiguous",
		"x/public/%2e%2e%3Bx/admin":                "ambiguous",
		"x//admin":                                 "ambiguous",
		"x/%2fadmin":                               "ambiguous",
		"x/./admin":                                "ambiguous",
		"x/;/admin":                                "ambiguous",
		"x/admin;x":                                "ambiguous",
		"x/public/%2e%2e/admin/..%2fpublic":        "ambiguous", // only a server that resolves and does not decode gets there
		"x/public/..%2fadmin/../public/x":          "public",    // none does here
		"x/admin/..":                               "ambiguous",
		"x/admin/../public":                        "ambiguous",
		"x/public/x/..":                            "public",
		"x/public/a/../b":                          "public",
		"x/public/a%2Fb":                           "public",
		"x/public//x":                              "public",
		"x/public/;x":                              "public",
		"x/public/.well-known":                     "public",
		"x/public/a%5Cb":                           "public",
		"x/files/@scope%2fname":                    "files",
		"x/files/projects/group%2Fsub%2Fname/blob": "files",
		"x/%70ublic/x":                             "public",
		"x/%61dmin":                                "admin",
		"x/public/..%252fadmin":                    "public", // decoded once
		"GET x/public/%20 ":                        "public",
		"x/elsewhere/../other":                     "",
		"x/elsewhere/../admin":                     "ambiguous",
	})
}

// A route whose path holds an escape is found by every spelling of it.
func TestFind_EscapesAreCompared(t *testing.T) {
	t.Parallel()
	table := compiled(t, ByRequest, "blank=/a%20b/*", "star=/%2Ax", "wide=/%e4%bd%a0/*", "tilde=/~u")
	wantRoutes(t, table, map[string]string{
		"x/a%20b/c": "blank", "x/%61%20%62": "blank", "GET x/a b": "blank", "x/a+b": "",
		"x/*x": "star", "x/%2Ax": "ambiguous", "x/%e4%BD%a0/": "wide", "x/%7eu": "tilde", "x/a%20B": "",
	})
}

// readings is what servers of some leniency make of a path, by other means than
// the table's.
func readings(p string) []string {
	all := []string{p}
	grow := func(f func(string) string) {
		for _, s := range all {
			all = append(all, f(s))
		}
	}
	grow(decodedPath)
	grow(func(s string) string { return strings.ReplaceAll(s, `\`, "/") })
	grow(func(s string) string {
		segments := strings.Split(s, "/")
		for i, segment := range segments {
			segments[i], _, _ = strings.Cut(segment, ";")
		}

		return strings.Join(segments, "/")
	})
	grow(func(s string) string {
		for strings.Contains(s, "//") {
			s = strings.ReplaceAll(s, "//", "/")
		}

		return s
	})
	grow(path.Clean)
	grow(func(s string) string { u := url.URL{Path: "/"}; return u.JoinPath(s).Path })

	return all
}

// guarded reports whether some server takes a path as one below /admin.
func guarded(p string) bool {
	for _, r := range readings(p) {
		r = decodeUnreserved(r)
		if r == "/admin" || strings.HasPrefix(r, "/admin/") {
			return true
		}
	}

	return false
}

func decodeUnreserved(p string) string { return string(normal(nil, p)) }

func FuzzFind_NoServerFindsAdminByAnotherRoute(f *testing.F) {
	for _, seed := range []string{
		"/admin", "/public/..%2fadmin", "/public/%2e%2e;x/admin", `/public\..\admin`, "//admin", "/a%2F..%5c.;/admin", "/%",
		"/%2", "*", "", "/public/%2e%2e/admin/..%2fpublic", "/./%2e/admin//;/..%3b/x",
	} {
		f.Add(seed)
	}
	table := compiled(f, ByRequest, "public=/public/*", "admin=/admin/*", "rest=/*")
	f.Fuzz(func(t *testing.T, p string) {
		if p != "" && p[0] != '/' || strings.Contains(p, "?") || !wire.Every(p, wire.InTarget) || !wire.ValidEscapes(p) {
			t.Skip() // no server of ours lets it in
		}
		q := &Request{Method: "GET", Path: p}
		got := table.route(q)
		if guarded(p) && got != "admin" && got != "ambiguous" {
			t.Errorf("%q goes to %s", p, got)
		}
		m, _ := table.Find(q)
		if rest := m.Rest(p); !strings.HasSuffix(p, rest) || rest != "" && rest[0] != '/' {
			t.Errorf("%q: rest %q", p, rest)
		}
	})
}
