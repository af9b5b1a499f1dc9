package files

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// nginxConfig serves a directory by a Unix socket. Of its defaults one is
// changed: If-Modified-Since is compared as RFC 9110 section 13.1.3 wants it,
// and not for equality.
const nginxConfig = `daemon off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/log; %[3]s
events { worker_connections 64; }
http {
  access_log off; sendfile on; etag on; gzip_static on; if_modified_since before;
  client_body_temp_path %[1]s/t1; proxy_temp_path %[1]s/t2; fastcgi_temp_path %[1]s/t3;
  uwsgi_temp_path %[1]s/t4; scgi_temp_path %[1]s/t5;
  types { text/html html; text/plain txt; text/css css; application/json json; image/png png; }
  default_type application/octet-stream; charset utf-8;
  server { listen unix:%[1]s/socket; server_name shop.example; root %[2]s; index index.html; }
}`

// asker asks one of the two servers.
type asker func(request string) (*http.Response, string)

// startNginx serves a directory until the test ends.
func startNginx(t *testing.T, dir string) asker {
	program, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("nginx is not installed")
	}
	home, err := os.MkdirTemp("", "nginx") // short: a socket's path has few characters
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	account := ""
	if os.Geteuid() == 0 {
		account = "user root;"
	}
	file := filepath.Join(home, "conf")
	text := fmt.Sprintf(nginxConfig, home, dir, account)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, "-p", home, "-e", "stderr", "-c", file)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); cmd.Wait() })
	return func(request string) (*http.Response, string) {
		return answerTo(t, func() (net.Conn, error) { return net.Dial("unix", home+"/socket") }, request)
	}
}

// startOurs serves a directory by net/http, with what a Dir answers.
func startOurs(t *testing.T, dir string) asker {
	d := dirOf(t, Options{Directory: dir})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		resp := d.Answer(r, path, path)
		defer resp.Body.Close()
		for name, lines := range resp.Header {
			w.Header()[name] = lines
		}
		w.WriteHeader(resp.StatusCode)
		io.Copy(w, resp.Body)
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-served })
	return func(request string) (*http.Response, string) {
		return answerTo(t, func() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) }, request)
	}
}

// answerTo sends a request and reads its answer. A server that is starting is
// asked again.
func answerTo(t *testing.T, dial func() (net.Conn, error), request string) (*http.Response, string) {
	t.Helper()
	c, err := dial()
	for end := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(end); c, err = dial() {
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))

	method, _, _ := strings.Cut(request, " ")
	first, fields, _ := strings.Cut(request, "\n")
	fields = strings.ReplaceAll(fields, "\n", "\r\n")
	if fields != "" {
		fields += "\r\n"
	}
	fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n%s\r\n", first, fields)
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	return resp, string(body)
}

// compared is of an answer what has to be alike.
type compared struct {
	Status                                  int
	Type, Length, Range, Coding, Date, Body string
	Parts                                   []string
}

func comparedOf(t *testing.T, resp *http.Response, body string) compared {
	c := compared{Status: resp.StatusCode, Range: resp.Header.Get("Content-Range")}
	if c.Status >= 300 && c.Status != http.StatusNotModified {
		return c // the texts of errors differ, and so does a redirect's way to say where
	}
	c.Length, c.Body = resp.Header.Get("Content-Length"), body
	c.Coding, c.Date = resp.Header.Get("Content-Encoding"), resp.Header.Get("Last-Modified")
	if c.Status == http.StatusNotModified {
		return c
	}

	kind, parameters, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Type = kind; kind != "multipart/byteranges" {
		return c
	}
	c.Length, c.Body = "", "" // the boundaries differ
	for r := multipart.NewReader(strings.NewReader(body), parameters["boundary"]); ; {
		part, err := r.NextRawPart()
		if err == io.EOF {
			return c
		}
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(part)
		kind, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type"))
		c.Parts = append(c.Parts, part.Header.Get("Content-Range")+" "+kind+" "+string(text))
	}
}

// TestDir_AnswersAsNginxDoes leaves out where the two differ on purpose: nginx
// answers 403 for a directory without an index file, serves hidden files, heeds
// Range in a HEAD request and If-Modified-Since beside If-None-Match, and has
// no parts of compressed files.
func TestDir_AnswersAsNginxDoes(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{
		"index.html": "<p>home", "f.txt": "0123456789", "empty.txt": "", "docs/index.html": "docs", "a b.txt": "blank",
		"app.css": "style", "app.css.gz": "\x1f\x8bstyle", "data.json": "{}", "raw": "bytes",
		"long.txt": strings.Repeat("0123456789", 50_000), "p.png": "png", "100%.txt": "percent", "ü.txt": "umlaut",
	})
	at := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	entries, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, path := range entries {
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	before, after := at.Add(-time.Hour).Format(http.TimeFormat), at.Add(time.Hour).Format(http.TimeFormat)
	same := at.Format(http.TimeFormat)
	nginx, ours := startNginx(t, dir), startOurs(t, dir)
	for _, request := range []string{
		"GET /", "HEAD /", "GET /index.html", "GET /f.txt", "HEAD /f.txt", "GET /f.txt?a=b", "GET /empty.txt",
		"HEAD /empty.txt", "GET /docs", "GET /docs/", "GET /docs/index.html", "GET /none", "HEAD /none", "GET /f.txt/",
		"GET /none/", "GET /f.txt/none", "GET /a%20b.txt", "GET /%66.txt", "GET /100%25.txt", "GET /%c3%bc.txt",
		"GET //f.txt", "GET /docs//index.html", "GET /F.TXT", "POST /f.txt", "PUT /f.txt", "DELETE /f.txt", "GET /long.txt",
		"GET /raw", "GET /p.png", "GET /data.json", "GET /app.css", "GET /app.css\nAccept-Encoding: gzip",
		"GET /app.css\nAccept-Encoding: gzip;q=0", "HEAD /app.css\nAccept-Encoding: gzip",
		"GET /f.txt\nAccept-Encoding: gzip", "GET /app.css\nAccept-Encoding: identity", "GET /f.txt\nRange: bytes=0-0",
		"GET /f.txt\nRange: bytes=2-5", "GET /f.txt\nRange: bytes=7-", "GET /f.txt\nRange: bytes=-3",
		"GET /f.txt\nRange: bytes=-30", "GET /f.txt\nRange: bytes=0-9", "GET /f.txt\nRange: bytes=5-99",
		"GET /f.txt\nRange: bytes=10-", "GET /f.txt\nRange: bytes=99-", "GET /f.txt\nRange: bytes=-0",
		"GET /f.txt\nRange: bytes=5-2", "GET /f.txt\nRange: bytes=a-b", "GET /f.txt\nRange: bytes=",
		"GET /f.txt\nRange: items=0-1", "GET /f.txt\nRange: bytes=0-1,4-5", "GET /f.txt\nRange: bytes=4-5, 0-1",
		"GET /f.txt\nRange: bytes=0-1,-2", "GET /f.txt\nRange: bytes=0-1,99-", "GET /f.txt\nRange: bytes=0-8,0-8",
		"GET /f.txt\nRange: bytes=0-4,5-9", "GET /long.txt\nRange: bytes=100000-200000",
		"GET /long.txt\nRange: bytes=0-9,400000-400099", "GET /none\nRange: bytes=0-1", "GET /empty.txt\nRange: bytes=0-",
		"GET /empty.txt\nRange: bytes=-1", "GET /f.txt\nRange: bytes=0-99999999999999999999",
		"GET /f.txt\nIf-None-Match: {etag}", "HEAD /f.txt\nIf-None-Match: {etag}", "GET /f.txt\nIf-None-Match: W/{etag}",
		"GET /f.txt\nIf-None-Match: \"x\", {etag}", "GET /f.txt\nIf-None-Match: \"x\"", "GET /f.txt\nIf-None-Match: *",
		"GET /f.txt\nIf-Match: {etag}", "GET /f.txt\nIf-Match: \"x\"", "GET /f.txt\nIf-Match: *",
		"GET /f.txt\nIf-Match: \"x\", {etag}", "GET /f.txt\nIf-Match: W/{etag}", "GET /none\nIf-Match: *",
		"GET /none\nIf-None-Match: *", "GET /f.txt\nIf-Modified-Since: " + before, "GET /f.txt\nIf-Modified-Since: " + same,
		"GET /f.txt\nIf-Modified-Since: " + after, "HEAD /f.txt\nIf-Modified-Since: " + same,
		"GET /f.txt\nIf-Modified-Since: yesterday", "GET /f.txt\nIf-Unmodified-Since: " + before,
		"GET /f.txt\nIf-Unmodified-Since: " + same, "GET /f.txt\nIf-Unmodified-Since: " + after,
		"GET /f.txt\nRange: bytes=0-1\nIf-Range: {etag}", "GET /f.txt\nRange: bytes=0-1\nIf-Range: \"x\"",
		"GET /f.txt\nRange: bytes=0-1\nIf-Range: W/{etag}", "GET /f.txt\nRange: bytes=0-1\nIf-Range: " + same,
		"GET /f.txt\nRange: bytes=0-1\nIf-Range: " + before, "GET /f.txt\nRange: bytes=0-1\nIf-None-Match: {etag}",
		"GET /f.txt\nRange: bytes=99-\nIf-None-Match: {etag}", "GET /app.css\nAccept-Encoding: gzip\nIf-None-Match: {etag}",
	} {
		var want, got compared
		for i, ask := range []asker{nginx, ours} {
			first, _ := ask("HEAD " + strings.Fields(request)[1])
			if strings.Contains(request, "Encoding: gzip\n") {
				first, _ = ask("HEAD " + strings.Fields(request)[1] + "\nAccept-Encoding: gzip")
			}
			resp, body := ask(strings.ReplaceAll(request, "{etag}", first.Header.Get("Etag")))
			*[]*compared{&want, &got}[i] = comparedOf(t, resp, body)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q:\nnginx %+v\nours  %+v", request, want, got)
		}
	}
}
