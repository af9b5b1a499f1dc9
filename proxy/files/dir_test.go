package files

import (
	"bytes"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestDir_AnswersWithItsFiles(t *testing.T) {
	t.Parallel()
	d := dirOf(t, Options{Directory: tree(t, map[string]string{
		"index.html": "home", "app.js": "script", "docs/index.html": "docs", "a b/ü.txt": "text", "empty.css": "",
		"raw": "bytes", "dir/file.txt": "x", ".well-known/security.txt": "contact", "app.tar.gz": "archive",
		"UPPER.HTML": "upper", ".well-known/apple-app-site-association": "{}", "100%.txt": "percent",
	})})
	for _, c := range []struct {
		path   string
		status int
		text   string
		kind   string
	}{
		{"/", 200, "home", "text/html; charset=utf-8"},
		{"/index.html", 200, "home", "text/html; charset=utf-8"},
		{"/app.js", 200, "script", "text/javascript; charset=utf-8"},
		{"/docs/", 200, "docs", "text/html; charset=utf-8"},
		{"//docs//index.html", 200, "docs", "text/html; charset=utf-8"},
		{"/a%20b/%c3%BC.txt", 200, "text", "text/plain; charset=utf-8"},
		{"/%61pp%2ejs", 200, "script", "text/javascript; charset=utf-8"},
		{"/empty.css", 200, "", "text/css; charset=utf-8"},
		{"/raw", 200, "bytes", "application/octet-stream"},
		{"/.well-known/security.txt", 200, "contact", "text/plain; charset=utf-8"},
		{"/.well-known/apple-app-site-association", 200, "{}", "application/json"},
		{"/app.tar.gz", 200, "archive", "application/gzip"},
		{"/UPPER.HTML", 200, "upper", "text/html; charset=utf-8"},
		{"/100%25.txt", 200, "percent", "text/plain; charset=utf-8"},
		{"/app.js/", 404, "", ""},
		{"/dir/", 404, "", ""}, // no index and no listing
		{"/none", 404, "", ""},
		{"/app.js/none", 404, "", ""},
		{"/APP.JS", 404, "", ""},
		{"/" + strings.Repeat("x", 5000), 404, "", ""},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			g := get(t, d, method, c.path)
			text := c.text
			if method == "HEAD" {
				text = ""
			}
			if g.StatusCode != c.status || g.text != text || g.Header.Get("Content-Type") != c.kind {
				t.Errorf("%s %s: %d %q %v", method, c.path, g.StatusCode, g.text, g.Header)
			}
			if c.status == 200 && g.ContentLength != int64(len(c.text)) {
				t.Errorf("%s %s: length %d", method, c.path, g.ContentLength)
			}
		}
	}
}

func TestDir_NothingButGetAndHeadIsServed(t *testing.T) {
	t.Parallel()
	d := dirOf(t, Options{Directory: tree(t, map[string]string{"index.html": "home"})})
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"} {
		if g := get(t, d, method, "/"); g.StatusCode != 405 || g.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d %v", method, g.StatusCode, g.Header)
		}
	}
}

func TestDir_ADirectoryIsRedirectedToItsSlash(t *testing.T) {
	t.Parallel()
	d := dirOf(t, Options{Directory: tree(t,
		map[string]string{"index.html": "", "docs/index.html": "", "a:b/index.html": ""})})
	for _, c := range []struct{ client, path, query, want string }{
		{"/docs", "/docs", "", "./docs/"},
		{"/ui/docs", "/docs", "a=b", "./docs/?a=b"},
		{"/ui", "", "", "./ui/"}, // the item's own prefix
		{"/a:b", "/a:b", "", "./a:b/"},
		{"//evil.example", "/docs", "", "./evil.example/"},
		{"/d%6fcs", "/d%6fcs", "", "./d%6fcs/"},
	} {
		r := request("GET", c.client)
		r.URL.RawQuery = c.query
		resp := d.Answer(r, c.client, c.path)
		if got := resp.Header.Get("Location"); resp.StatusCode != 301 || got != c.want {
			t.Errorf("%s: %d %q", c.client, resp.StatusCode, got)
		}
	}
}

// TestDir_NoSpellingLeavesIt: secrets stand beside the directory, above it and
// behind a hidden name, and links lead to them.
func TestDir_NoSpellingLeavesIt(t *testing.T) {
	t.Parallel()
	above := tree(t, map[string]string{
		"srv/index.html": "home", "srv/.env": "secret", "srv/.git/config": "secret", "srv/a/.hidden/x": "secret",
		"srv/.well-known/.x": "secret", "srv/...": "secret", "secret": "secret", "srv-other/secret": "secret",
		"srv/a/b/c.txt": "text",
	})
	srv := filepath.Join(above, "srv")
	for link, to := range map[string]string{
		"out": "../secret", "outdir": "..", "absolute": filepath.Join(above, "secret"), "etc": "/etc", "chain": "out",
		"self": "self", "a/up": "../../secret", "inside": "index.html", "a/inside": "../index.html",
	} {
		if err := os.Symlink(to, filepath.Join(srv, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(srv, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}

	d := dirOf(t, Options{Directory: srv})
	for _, path := range []string{
		"/../secret", "/..", "/../", "/a/../../secret", "/a/../index.html", "/./index.html", "/.", "/%2e%2e/secret",
		"/%2E%2E/secret", "/.%2e/secret", "/..%2fsecret", "/..%2Fsecret", "/%2e%2e%2fsecret", "/..%5csecret", `/..\secret`,
		"/%2e%2e%5csecret", "/..%c0%afsecret", "/%c0%ae%c0%ae/secret", "/..%252fsecret", "/%252e%252e/secret", "/a%2fb/c.txt",
		"/a%2f..%2f..%2fsecret", "//../secret", "///..//../secret", "/a//../../secret", "/..;/secret", "/..;x=1/secret",
		"/a/..;/..;/secret", "/secret%00", "/index.html%00.txt", "/%00", "/index.html%00", "/..%00/secret", "/index.html.",
		"/index.html%2e", "/index.html%20", "/INDEX.HTML", "/.env", "/%2eenv", "/.git/config", "/a/.hidden/x",
		"/.well-known/.x", "/...", "/a/.well-known/x", "/out", "/outdir/secret", "/outdir/", "/absolute", "/etc/passwd",
		"/chain", "/self", "/a/up", "/pipe", "/proc/self/environ",
		filepath.Join(above, "secret"), "/" + above + "/secret", "index.html", "\\index.html", "http://x/index.html", "/%",
		"/%2", "/%zz",
		"/srv-other/secret", "/../srv-other/secret", "/..%ef%bc%8fsecret", "/%uff0e%uff0e/secret", "/~root", "/%7e",
		"/index.html::$DATA",
	} {
		for _, accept := range []string{"*/*", "text/html"} {
			g := get(t, d, "GET", path, "Accept", accept)
			if g.StatusCode != 404 || g.text != "" {
				t.Errorf("%s: %d %q", path, g.StatusCode, g.text)
			}
		}
	}
	for _, path := range []string{"/inside", "/a/inside"} {
		if g := get(t, d, "GET", path); g.StatusCode != 200 || g.text != "home" {
			t.Errorf("%s: %d %q", path, g.StatusCode, g.text)
		}
	}
}

func TestDir_OnlyPagesFallBack(t *testing.T) {
	t.Parallel()
	d := dirOf(t, Options{Fallback: "/index.html", Directory: tree(t, map[string]string{
		"index.html": "home", "assets/app.js": "script", ".env": "secret",
	})})
	const page = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	for _, c := range []struct {
		path, accept, dest string
		status             int
	}{
		{"/users/7", page, "document", 200},
		{"/users/7", page, "", 200},
		{"/users/7", page, "iframe", 200},
		{"/users/john.doe", page, "", 200},
		{"/users/7/", page, "document", 200},
		{"/assets/", page, "document", 200},
		{"/package/chart.js", page, "document", 200}, // a page about a script
		{"/old.html", page, "", 200},
		{"/assets/old.js", "*/*", "script", 404},
		{"/assets/old.js", "*/*", "", 404},
		{"/assets/old.js", page, "", 404},
		{"/assets/old.js", page, "script", 404},
		{"/assets/old.css", "text/css,*/*;q=0.1", "style", 404},
		{"/assets/old.css", page, "style", 404},
		{"/logo.png", "image/avif,image/webp,*/*", "image", 404},
		{"/worker", page, "worker", 404},
		{"/api/x", "application/json", "empty", 404},
		{"/users/7", "", "", 404},
		{"/users/7", "text/html;q=0", "", 404},
		{"/users/7", "text/html;q=0.001", "", 200},
		{"/.env", page, "document", 404},
		{"/..%2fsecret", page, "document", 404},
		{"/assets/app.js", "*/*", "script", 200},
	} {
		fields := []string{"Accept", c.accept, "Sec-Fetch-Dest", c.dest}
		if c.dest == "" {
			fields = fields[:2]
		}
		for _, method := range []string{"GET", "HEAD"} {
			g := get(t, d, method, c.path, fields...)
			html := strings.HasPrefix(g.Header.Get("Content-Type"), "text/html")
			if g.StatusCode != c.status || html != (c.status == 200 && c.path != "/assets/app.js") {
				t.Errorf("%s %s %q %q: %d %v", method, c.path, c.accept, c.dest, g.StatusCode, g.Header)
			}
			if html && !strings.Contains(g.Header.Get("Vary"), "Accept,") {
				t.Errorf("%s: Vary %q", c.path, g.Header.Get("Vary"))
			}
		}
	}
	if g := get(t, d, "POST", "/users/7", "Accept", page); g.StatusCode != 405 {
		t.Errorf("POST: %d", g.StatusCode)
	}
}

func TestDir_CompressedFilesAreTakenIfTheyAreOfThisVersion(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{
		"app.js": "script", "app.js.br": "BR", "app.js.zst": "ZST", "app.js.gz": "GZ",
		"old.css": "style", "old.css.gz": "OLD", "photo.png": "png", "photo.png.gz": "PNG", "one.html": "page",
		"one.html.gz": "PAGE",
	})
	now := time.Now()
	for name, age := range map[string]time.Duration{
		"app.js": 0, "app.js.br": 0, "app.js.zst": 0, "app.js.gz": 0, "old.css": 0, "old.css.gz": time.Hour,
		"one.html": time.Hour,
	} {
		if err := os.Chtimes(filepath.Join(dir, name), now, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}

	d := dirOf(t, Options{Directory: dir})
	for _, c := range []struct{ path, accept, text, coding string }{
		{"/app.js", "gzip, deflate, br, zstd", "BR", "br"},
		{"/app.js", "gzip, zstd", "ZST", "zstd"},
		{"/app.js", "gzip;q=1, br;q=0.5", "GZ", "gzip"},
		{"/app.js", "GZIP", "GZ", "gzip"},
		{"/app.js", "x-gzip", "GZ", "gzip"},
		{"/app.js", "br;q=0, *", "ZST", "zstd"},
		{"/app.js", "*;q=0, gzip", "GZ", "gzip"},
		{"/app.js", "identity", "script", ""},
		{"/app.js", "gzip;q=0", "script", ""},
		{"/app.js", "gzip;q=2", "script", ""},
		{"/app.js", "", "script", ""},
		{"/old.css", "gzip", "style", ""},
		{"/one.html", "br, gzip", "PAGE", "gzip"},
		{"/photo.png", "gzip", "png", ""},
		{"/app.js.gz", "gzip", "GZ", ""},
	} {
		g := get(t, d, "GET", c.path, "Accept-Encoding", c.accept)
		if g.StatusCode != 200 || g.text != c.text || g.Header.Get("Content-Encoding") != c.coding {
			t.Errorf("%s, %s: %d %q %v", c.path, c.accept, g.StatusCode, g.text, g.Header)
		}
		if vary := g.Header.Get("Vary") == "Accept-Encoding"; vary != (c.path != "/photo.png" && c.path != "/app.js.gz") {
			t.Errorf("%s: Vary %q", c.path, g.Header.Get("Vary"))
		}
	}
	plain, coded := get(t, d, "GET", "/app.js"), get(t, d, "GET", "/app.js", "Accept-Encoding", "br")
	if plain.Header.Get("Etag") == coded.Header.Get("Etag") {
		t.Error("two forms of a file have one entity tag")
	}
	g := get(t, d, "GET", "/app.js", "Accept-Encoding", "br", "If-None-Match", coded.Header.Get("Etag"))
	if g.StatusCode != 304 || g.Header.Get("Vary") != "Accept-Encoding" ||
		g.Header.Get("Etag") != coded.Header.Get("Etag") {
		t.Errorf("%d %v", g.StatusCode, g.Header)
	}
}

func TestDir_ADirectoryThatIsReplacedIsFollowed(t *testing.T) {
	t.Parallel()
	above := tree(t, map[string]string{"one/index.html": "one", "two/index.html": "two"})
	current := filepath.Join(above, "current")
	turn := func(to string) {
		if err := os.Symlink(to, current+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(current+".new", current); err != nil {
			t.Fatal(err)
		}
	}
	turn("one")
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		d := dirOf(t, Options{Directory: current, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		look := func(status int, text string) {
			t.Helper()
			time.Sleep(2 * lookAfter)
			if g := get(t, d, "GET", "/"); g.StatusCode != status || g.text != text {
				t.Errorf("%d %q", g.StatusCode, g.text)
			}
		}
		look(200, "one")
		turn("two")
		look(200, "two")
		if err := os.Remove(current); err != nil {
			t.Fatal(err)
		}
		look(503, "")
		look(503, "")
		turn("one")
		look(200, "one")
		if strings.Count(log.String(), "\n") != 2 || !strings.Contains(log.String(), "are gone") ||
			!strings.Contains(log.String(), "are back") {
			t.Error(log.String())
		}
	})
}

func TestDir_AFileThatMayNotBeReadIsForbidden(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root may read everything")
	}
	dir := tree(t, map[string]string{"index.html": "home"})
	if err := os.Chmod(filepath.Join(dir, "index.html"), 0); err != nil {
		t.Fatal(err)
	}
	if g := get(t, dirOf(t, Options{Directory: dir}), "GET", "/"); g.StatusCode != http.StatusForbidden {
		t.Errorf("%d", g.StatusCode)
	}
}

func TestDir_WithoutADirectoryItCannotBeServed(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"file": ""})
	for _, path := range []string{filepath.Join(dir, "none"), filepath.Join(dir, "file")} {
		if g := get(t, dirOf(t, Options{Directory: path}), "GET", "/"); g.StatusCode != 503 {
			t.Errorf("%s: %d", path, g.StatusCode)
		}
	}
}

// FuzzName wants that no path becomes a name that leads upward, is hidden or
// has other parts than the path.
func FuzzName(f *testing.F) {
	for _, seed := range []string{"/", "", "/a/b", "/..%2f..", "/.well-known/x", "/%2e%2e", "/a%00", "//a//", "/%",
		`/\..`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		what, ok := askedBy(path)
		if !ok || what.name == "." {
			return
		}
		for i, part := range strings.Split(what.name, "/") {
			hidden := part != "" && part[0] == '.' && (i > 0 || part != wellKnown)
			if part == "" || hidden || strings.ContainsAny(part, "\\\x00") {
				t.Errorf("%q became %q", path, what.name)
			}
		}
		if strings.Count(what.name, "/") > strings.Count(path, "/") {
			t.Errorf("%q became %q", path, what.name)
		}
	})
}
