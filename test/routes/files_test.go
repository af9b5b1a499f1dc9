package routes

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// tree creates a folder with files, given by their names and contents.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	return dir
}

const page = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"

func TestFiles_UIAndAPIOnOneURL(t *testing.T) {
	t.Parallel()
	srv := tree(t, map[string]string{
		"index.html": "home", "assets/app.js": "script", "docs/index.html": "docs", ".env": "hush",
		".well-known/security.txt": "contact",
	})
	api := startEcho(t, "api")
	p := pillion.Start(t, "LB_ROUTE__UI=/*", "LB_FILES__UI="+srv, "LB_FILES_FALLBACK=/index.html",
		list("LB_BACKENDS__API", api), "LB_ROUTE__API=/api/*", "LB_REWRITE__API=/*",
		"LB_ROUTE__ASSETS=/assets/*", "LB_FILES__ASSETS="+filepath.Join(srv, "assets"),
		"LB_RESPONSE_HEADERS__ASSETS=Cache-Control=public, max-age=31536000, immutable",
		"LB_RESPONSE_HEADERS__UI=Cache-Control=no-cache")
	for _, c := range []struct {
		target string
		status int
		text   string
		cache  string
	}{
		{"/", 200, "home", "no-cache"},
		{"/docs/", 200, "docs", "no-cache"},
		{"/users/7", 200, "home", "no-cache"},
		{"/assets/app.js", 200, "script", "public, max-age=31536000, immutable"},
		{"/assets/old.js", 404, "", ""},
		{"/.well-known/security.txt", 200, "contact", ""},
		{"/.env", 404, "", ""},
	} {
		a := get(t, p, c.target, page)
		if a.StatusCode != c.status || c.status == 200 && a.text != c.text ||
			c.cache != "" && a.Header.Get("Cache-Control") != c.cache {
			t.Errorf("%s: status %d %q, want %d %q with Cache-Control %q: %v", c.target, a.StatusCode, a.text, c.status, c.text,
				c.cache, a.Header)
		}
		if strings.Contains(a.text, "hush") {
			t.Errorf("%s returns a hidden file", c.target)
		}
	}
	if a := get(t, p, "/assets/old", page); a.StatusCode != 404 {
		t.Errorf("a fallback outside of the route's folder: status %d, want 404", a.StatusCode)
	}
	if a := get(t, p, "/api/x?y"); a.from() != "api" || a.line() != "GET /x?y" || a.saw("X-Forwarded-Prefix") != "/api" {
		t.Errorf("the API received another request than GET /x?y with the prefix /api:\n%s", a.text)
	}
	if a := get(t, p, "/users/7", "Accept: */*"); a.StatusCode != 404 || a.Header.Get("X-Request-Id") == "" {
		t.Errorf("a missing script: status %d, want 404 with a request id: %v", a.StatusCode, a.Header)
	}
	if a := get(t, p, "/docs?a=b"); a.StatusCode != 301 || a.Header.Get("Location") != "./docs/?a=b" {
		t.Errorf("a folder: status %d, want 301 to ./docs/?a=b: %v", a.StatusCode, a.Header)
	}
	if a := raw(t, p, "POST /index.html"); a.StatusCode != 405 || a.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: status %d, want 405 with Allow: GET, HEAD: %v", a.StatusCode, a.Header)
	}
	if a := get(t, p, "/index.html", "Range: bytes=99-"); a.StatusCode != 416 ||
		a.Header.Get("Content-Range") != "bytes */4" {
		t.Errorf("a range beyond the end: status %d, want 416 with Content-Range: bytes */4: %v", a.StatusCode, a.Header)
	}
	if a := get(t, p, "/index.html", "Range: bytes=1-2"); a.StatusCode != 206 || a.text != "om" {
		t.Errorf("a range: status %d %q, want 206 \"om\": %v", a.StatusCode, a.text, a.Header)
	}
	first := get(t, p, "/index.html")
	if a := get(t, p, "/index.html", "If-None-Match: "+first.Header.Get("Etag")); a.StatusCode != 304 || a.text != "" {
		t.Errorf("a known entity tag: status %d %q, want 304 without a body: %v", a.StatusCode, a.text, a.Header)
	}
	if a := raw(t, p, "HEAD /index.html"); a.StatusCode != 200 || a.ContentLength != 4 || a.text != "" {
		t.Errorf("HEAD: status %d, length %d, want 200 and 4 without a body", a.StatusCode, a.ContentLength)
	}
}

func TestFiles_AreServedBelowAPrefix(t *testing.T) {
	t.Parallel()
	srv := tree(t, map[string]string{"index.html": "home", "docs/index.html": "docs", "robots.txt": "robots",
		"v2/index.html": "second"})
	p := pillion.Start(t, list("LB_BACKENDS", startEcho(t, "app")), "LB_ROUTE__UI=/ui/*", "LB_FILES__UI="+srv,
		"LB_ROUTE__ROBOTS=/robots.txt", "LB_FILES__ROBOTS="+srv,
		"LB_ROUTE__NEW=/new/*", "LB_FILES__NEW="+srv, "LB_REWRITE__NEW=/v2/*")
	for target, want := range map[string]string{
		"/ui/": "200 home", "/ui": "301 ./ui/", "/ui/docs": "301 ./docs/", "/ui/docs/": "200 docs",
		"/robots.txt": "200 robots", "/new/": "200 second", "/ui/none": "404 ", "/uix": "200 app",
	} {
		a := get(t, p, target)
		said := a.text
		switch {
		case a.StatusCode == 301:
			said = a.Header.Get("Location")
		case a.StatusCode == 404:
			said = ""
		case a.from() != "":
			said = a.from()
		}
		if got := fmt.Sprint(a.StatusCode, " ", said); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
}

// No spelling of a path leaves the folder, over HTTP/1.1 and HTTP/2. Secrets
// are above the folder and behind links that lead out of it.
func TestFiles_NoSpellingLeavesTheDirectory(t *testing.T) {
	t.Parallel()
	above := tree(t, map[string]string{"srv/index.html": "home", "srv/a/b.txt": "text", "secret": "hush",
		"srv/.git/config": "hush"})
	for link, to := range map[string]string{"out": "../secret", "up": "..", "etc": "/etc",
		"abs": filepath.Join(above, "secret")} {
		if err := os.Symlink(to, filepath.Join(above, "srv", link)); err != nil {
			t.Fatal(err)
		}
	}

	p := pillion.Start(t, "LB_ROUTE__UI=/*", "LB_FILES__UI="+filepath.Join(above, "srv"))
	var h2 http.Protocols
	h2.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &h2, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	second := &http.Client{Transport: transport, Timeout: await.Limit}
	for _, target := range []string{
		"/../secret", "/%2e%2e/secret", "/..%2fsecret", "/..%5csecret", `/..\secret`, "/a/../../secret",
		"/a/..%2f..%2fsecret", "/..%252fsecret", "//../secret", "/..;/secret", "/..%c0%afsecret", "/secret%00",
		"/index.html%00.txt", "/out", "/up/secret", "/abs", "/etc/passwd", "/.git/config", "/%2egit/config", "/a%2fb.txt",
		"/INDEX.HTML", "/index.html.", "/...", "/proc/self/environ", "/%2e%2e%5c%2e%2e%5csecret",
	} {
		a := get(t, p, target, "Accept: */*")
		if a.StatusCode != 404 && a.StatusCode != 400 || strings.Contains(a.text, "hush") ||
			strings.Contains(a.text, "root:") {
			t.Errorf("%s: status %d, want no secret: %q", target, a.StatusCode, a.text)
		}

		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+p.Address+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Opaque = target // is sent unchanged
		resp, err := second.Do(r)
		if err != nil {
			continue // net/http refuses to send it, or Pillion refuses the stream
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode == 200 || bytes.Contains(text, []byte("hush")) || bytes.Contains(text, []byte("root:")) {
			t.Errorf("HTTP/2 %s: status %d, want no 200 and no secret: %q", target, resp.StatusCode, text)
		}
	}
}

// A large file arrives whole, also where the kernel sends it (clear text) and
// where it is copied (TLS, HTTP/2).
func TestFiles_ALargeFileIsWholeOverEveryConnection(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("0123456789abcdef\n", 300_000)
	srv := tree(t, map[string]string{"large.bin": content})
	authority := backend.NewAuthority(t)
	cert, key := filepath.Join(srv, ".cert"), filepath.Join(srv, ".key")
	authority.Write(t, cert, key)
	env := []string{"LB_ROUTE__UI=/*", "LB_FILES__UI=" + srv, "LB_ACCESS_LOG=on"}
	clear := pillion.Start(t, env...)
	secure := pillion.Start(t, append(env, "LB_TLS_CERT_FILE="+cert, "LB_TLS_KEY_FILE="+key)...)
	var h2 http.Protocols
	h2.SetUnencryptedHTTP2(true)
	h2.SetHTTP2(true)
	roots := x509.NewCertPool()
	text, err := os.ReadFile(authority.File)
	if err != nil || !roots.AppendCertsFromPEM(text) {
		t.Fatal("the certificate of the authority can't be read")
	}
	trust := &tls.Config{RootCAs: roots}
	for name, c := range map[string]struct {
		transport *http.Transport
		url       string
	}{
		"HTTP/1.1":          {&http.Transport{}, clear.URL("/large.bin")},
		"HTTP/2":            {&http.Transport{Protocols: &h2}, clear.URL("/large.bin")},
		"HTTP/1.1 over TLS": {&http.Transport{TLSClientConfig: trust.Clone()}, "https://" + secure.Address + "/large.bin"},
		"HTTP/2 over TLS": {&http.Transport{TLSClientConfig: trust.Clone(), Protocols: &h2}, "https://" + secure.Address +
			"/large.bin"},
	} {
		c.transport.DisableCompression = true
		t.Cleanup(c.transport.CloseIdleConnections)
		resp, err := (&http.Client{Transport: c.transport, Timeout: await.Limit}).Get(c.url)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(text) != content {
			t.Errorf("%s: %d bytes, want %d as in the file, error %v", name, len(text), len(content), err)
		}
	}
}

func TestFiles_AReplacedFileIsSentWholeAndAnOverwrittenOneIsNot(t *testing.T) {
	t.Parallel()
	const size = 16 << 20
	srv := tree(t, map[string]string{"f.bin": strings.Repeat("a", size)})
	p := pillion.Start(t, "LB_ROUTE__UI=/*", "LB_FILES__UI="+srv)
	for _, inPlace := range []bool{false, true} {
		path := filepath.Join(srv, "f.bin")
		if err := os.WriteFile(path, bytes.Repeat([]byte("a"), size), 0o644); err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", p.Address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET /f.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		first := make([]byte, 1<<16)
		if _, err := io.ReadFull(conn, first); err != nil {
			t.Fatal(err)
		}

		next := path + ".new"
		if inPlace {
			next = path
		}
		if err := os.WriteFile(next, bytes.Repeat([]byte("b"), size), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(next, time.Time{}, time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, path); err != nil {
			t.Fatal(err)
		}

		rest, err := io.ReadAll(conn)
		whole := append(first, rest...)
		_, body, _ := bytes.Cut(whole, []byte("\r\n\r\n"))
		switch {
		case inPlace && err == nil && len(body) == size:
			t.Error("a file that was overwritten meanwhile has a complete answer, want a broken one")
		case !inPlace && (err != nil || len(body) != size || bytes.ContainsRune(body, 'b')):
			t.Errorf("a file that was replaced meanwhile: %d bytes, error %v, want the %d of the old file", len(body), err, size)
		}
	}
}

func TestFiles_ErrorsHaveThePagesOfTheRoute(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"404.html": "<p>lost", "503.html": "<p>down", "srv/index.html": "home",
		"maintenance.html": "<p>back soon"})
	gone := backend.Closed(t)
	p := pillion.Start(t, "LB_ROUTE__UI=/*", "LB_FILES__UI="+filepath.Join(dir, "srv"),
		"LB_ERROR_FILE__UI=404="+filepath.Join(dir, "404.html"), "LB_BACKENDS__API=http://"+gone, "LB_ROUTE__API=/api/*",
		"LB_START_HOLD__API=0s", "LB_ERROR_FILE__API=503="+filepath.Join(dir, "503.html"),
		"LB_ROUTE__DOWN=/down", "LB_RESPOND__DOWN=503", "LB_RESPOND_FILE__DOWN="+filepath.Join(dir, "maintenance.html"))
	for target, want := range map[string]string{"/none": "404 <p>lost", "/api/x": "503 <p>down",
		"/down": "503 <p>back soon"} {
		a := get(t, p, target)
		if got := fmt.Sprint(a.StatusCode, " ", a.text); got != want ||
			a.Header.Get("Content-Type") != "text/html; charset=utf-8" ||
			a.Header.Get("Cache-Control") != "no-store" || target != "/down" && a.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: %s, want %s as HTML with a request id, not to be stored: %v", target, got, want, a.Header)
		}
	}
	if a := raw(t, p, "HEAD /none"); a.StatusCode != 404 || a.text != "" || a.ContentLength != int64(len("<p>lost")) {
		t.Errorf("HEAD: status %d, body %q, length %d, want 404 with the length of the page and no body", a.StatusCode,
			a.text, a.ContentLength)
	}
	if a := raw(t, p, "POST /index.html"); a.StatusCode != 405 || strings.Contains(a.text, "lost") {
		t.Errorf("a status without a page: %d %q, want 405 without the page of 404", a.StatusCode, a.text)
	}

	for _, path := range []string{"404.html", "maintenance.html"} {
		if err := os.WriteFile(filepath.Join(dir, path), []byte("<p>changed"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, target := range []string{"/none", "/down"} {
		await.Until(t, "the page is read again", func() bool { return get(t, p, target).text == "<p>changed" })
	}
}

func TestFiles_MissingFilesAreErrorsAtTheStart(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"file": "text", "index.html": ""})
	for env, want := range map[string]string{
		"LB_FILES__UI=" + dir + "/none":                                          "names a directory that does not exist",
		"LB_FILES__UI=" + dir + "/file":                                          "is not a directory",
		"LB_FILES__UI=" + dir + ",LB_ERROR_FILE__UI=404=" + dir + "/none":        "names a file that does not exist",
		"LB_FILES__UI=" + dir + ",LB_FILES_FALLBACK__UI=index.html":              "begins with '/'",
		"LB_FILES__UI=" + dir + ",LB_FILES_INDEX__UI=a/index.html":               "is a path",
		"LB_FILES__UI=" + dir + ",LB_RESPOND__UI=404":                            "has two actions",
		"LB_FILES__UI=" + dir + ",LB_SERVICE__UI=default":                        "has two actions",
		"LB_RESPOND__UI=503,LB_RESPOND_FILE__UI=" + dir + "/none":                "names a file that does not exist",
		"LB_SERVICE__UI=default,LB_FILES_FALLBACK__UI=/index.html":               "LB_FILES",
		"LB_RESPOND__UI=503,LB_RESPOND_FILE__UI=" + dir + "/file,LB_ROUTE__X=/x": "no action",
		"LB_FILES__UI=" + dir + ",LB_FILES__OTHER=" + dir:                        "no service or route is called other",
		"LB_FILES__UI=" + dir + ",LB_HEALTH_CHECK__UI=/up":                       "describes a service",
		"LB_FILES__UI=" + dir + ",LB_FILES_FALBACK__UI=/index.html":              "the nearest is LB_FILES_FALLBACK__UI",
		"LB_FILES__UI=" + dir + ",LB_BACKENDS__UI=http://127.0.0.1:9001":         "has two actions",
		"LB_FILES__UI=" + dir + ",LB_REDIRECT__UI=/x":                            "has two actions",
		"LB_FILES__UI=" + dir + ",LB_ERROR_FILE__UI=200=" + dir + "/file":        "from 400 to 599",
		"LB_FILES__UI=" + dir + ",LB_FILES_FALLBACK__UI=/.hidden/index.html":     "begins with a dot",
		"LB_FILES__UI=" + dir + ",LB_FILES_FALLBACK__UI=/gone.html":              "names a file that does not exist",
		"LB_FILES__UI=" + dir + ",LB_RESPONSE_HEADERS__UI=Content-Length=7":      "frames the message",
		"LB_FILES__UI=" + dir + ",LB_REWRITE__UI=https://example.com/*":          "does not begin with '/'",
		"LB_FILES__UI=" + dir + ",LB_RESPOND_BODY__UI=text":                      "LB_RESPOND__UI",
		"LB_FILES__UI=" + dir + ",LB_ERROR_FILE__UI=404=" + dir + "/file;404=/x": "names two files for 404",
	} {
		all := []string{"LB_ROUTE__UI=/ui/*"}
		if strings.Contains(env, "default") {
			all = append(all, "LB_BACKENDS=demo://1")
		}
		if r := pillion.Run(t, append(all, strings.Split(env, ",")...), "check"); r.Code != 78 ||
			!strings.Contains(r.Output(), want) {
			t.Errorf("%s: exit code %d, want 78 and %q: %s", env, r.Code, want, r.Output())
		}
	}
}
