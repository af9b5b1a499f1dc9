package test

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// decoder decodes what has come of an answer, by its Content-Encoding.
func decoder(t *testing.T, a *http.Response) io.Reader {
	t.Helper()
	switch coding := a.Header.Get("Content-Encoding"); coding {
	case "gzip":
		r, err := gzip.NewReader(a.Body)
		if err != nil {
			t.Fatalf("gzip: %v", err)
		}
		return r
	case "zstd":
		r, err := zstd.NewReader(a.Body, zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatalf("zstd: %v", err)
		}
		t.Cleanup(r.Close)
		return r
	case "":
		return a.Body
	default:
		t.Fatalf("the coding is %q", coding)
		return nil
	}
}

// decodedText is the decoded body of an answer.
func decodedText(t *testing.T, a answer) string {
	t.Helper()
	copied := *a.Response
	copied.Body = io.NopCloser(strings.NewReader(a.Text))
	if a.Text == "" {
		return ""
	}
	all, err := io.ReadAll(decoder(t, &copied))
	if err != nil {
		t.Errorf("%s: %v", a.Header.Get("Content-Encoding"), err)
	}
	return string(all)
}

// startCompressing has a backend whose answers have the fields that the query
// says, and a body that says which they are, 4 KiB long.
func startCompressing(t *testing.T, env ...string) (*backend.Server, *binary.Process) {
	t.Helper()
	b := caching(t, func(w http.ResponseWriter, r *http.Request) {
		if status := r.URL.Query().Get("Status"); status != "" {
			n := 0
			_, _ = fmt.Sscan(status, &n)
			w.WriteHeader(n)
			if n == 204 || n == 304 {
				return
			}
		}
		_, _ = io.WriteString(w, longText(r.URL.RawQuery))
	})
	return b, pillion.Start(t, append([]string{"LB_BACKENDS=" + b.Target(), "LB_COMPRESS=zstd;gzip"}, env...)...)
}

func longText(of string) string { return strings.Repeat(of+"\n", 4096/(len(of)+1)+1) }

const html = "Content-Type=text%2Fhtml"

// TestCompress_TheMatrix is about what is compressed and what is said about it,
// by both versions of HTTP.
func TestCompress_TheMatrix(t *testing.T) {
	t.Parallel()
	_, p := startCompressing(t)
	for version, client := range clients(t) {
		for _, c := range []struct {
			method, query, accepts, coding string
			vary                           bool
			fields                         []string
		}{
			{"GET", html, "gzip", "gzip", true, nil},
			{"GET", html, "gzip, deflate, br, zstd", "zstd", true, nil},
			{"GET", html, "zstd;q=0.2, gzip;q=0.7, *;q=0.1", "gzip", true, nil},
			{"POST", html, "gzip", "gzip", true, nil},
			{"GET", html + "&Status=404", "gzip", "gzip", true, nil},
			{"GET", html + "&Vary=Origin", "gzip", "gzip", true, nil},
			{"GET", html, "br", "", true, nil},
			{"GET", html, "gzip;q=0, identity", "", true, nil},
			{"GET", html, "", "", true, nil},
			{"GET", html, "identity;q=0", "", true, nil},
			{"GET", html, "gzip", "", true, []string{"Range", "bytes=0-9"}},
			{"GET", html, "gzip", "", true, []string{"Cache-Control", "no-transform"}},
			{"GET", html, "gzip", "", true,
				[]string{"Cookie", "a=b", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", "image"}},
			{"GET", html, "gzip", "gzip", true,
				[]string{"Cookie", "a=b", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", "document"}},
			{"GET", html + "&Content-Encoding=br", "gzip", "br", false, nil},
			{"GET", html + "&Cache-Control=no-transform", "gzip", "", false, nil},
			{"GET", html + "&X-Accel-Buffering=no", "gzip", "", false, nil},
			{"GET", html + "&Digest=a", "gzip", "", false, nil},
			{"GET", html + "&Status=204", "gzip", "", false, nil},
			{"GET", "Content-Type=image%2Fpng", "gzip", "", false, nil},
			{"GET", "Content-Type=text%2Fevent-stream", "gzip", "", false, nil},
		} {
			fields := c.fields
			if c.accepts != "" {
				fields = append([]string{"Accept-Encoding", c.accepts}, fields...)
			}
			a := send(t, client, newRequest(t, c.method, p.URL("/?"+c.query), nil, fields...))
			name := fmt.Sprintf("%s %s %s for %s %v", version, c.method, c.query, c.accepts, c.fields)
			if got := a.Header.Get("Content-Encoding"); got != c.coding {
				t.Errorf("%s: coded %q, want %q", name, got, c.coding)
				continue
			}
			if got := strings.Contains(strings.Join(a.Header["Vary"], ","), "Accept-Encoding"); got != c.vary {
				t.Errorf("%s: Vary %v", name, a.Header["Vary"])
			}
			if c.coding != "br" && a.StatusCode != 204 && decodedText(t, a) != longText(c.query) {
				t.Errorf("%s: another body", name)
			}
			if c.coding != "" && c.coding != "br" && len(a.Text) > 2048 {
				t.Errorf("%s: %d bytes", name, len(a.Text))
			}
		}
	}
}

func TestCompress_OffUnlessAskedFor(t *testing.T) {
	t.Parallel()
	b := caching(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, longText("a")) })
	p := pillion.Start(t, "LB_BACKENDS="+b.Target())
	if a := get(t, newClient(t), p.URL("/?"+html), "Accept-Encoding",
		"gzip, zstd"); a.Header.Get("Content-Encoding") != "" || a.Header.Get("Vary") != "" {
		t.Errorf("%v", a.Header)
	}
}

func TestCompress_HTTP10GetsItAsItIs(t *testing.T) {
	t.Parallel()
	_, p := startCompressing(t)
	c := wire.Dial(t, p.Address)
	c.Send("GET /?" + html + " HTTP/1.0\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
	head := c.Head()
	if strings.Contains(head, "Content-Encoding") || !strings.Contains(head, "Vary: Accept-Encoding") {
		t.Errorf("%s", head)
	}
}

// TestCompress_HeadSaysWhatGetSays compares all fields.
func TestCompress_HeadSaysWhatGetSays(t *testing.T) {
	t.Parallel()
	_, p := startCompressing(t)
	for version, client := range clients(t) {
		for _, accepts := range []string{"gzip", "identity"} {
			target := p.URL("/?" + html + "&Etag=%22a%22&Accept-Ranges=bytes&Content-Length=" +
				fmt.Sprint(len(longText(html+"&Etag=%22a%22&Accept-Ranges=bytes&Content-Length=4096"))))
			of := map[string]http.Header{}
			for _, method := range []string{"GET", "HEAD"} {
				a := send(t, client, newRequest(t, method, target, nil, "Accept-Encoding", accepts))
				for _, own := range []string{"Date", "X-Request-Id", "Traceparent", "Content-Length"} {
					a.Header.Del(own) // a GET of HTTP/1.1 that fits a buffer has a length
				}
				of[method] = a.Header
			}
			if fmt.Sprint(of["GET"]) != fmt.Sprint(of["HEAD"]) {
				t.Errorf("%s, %s:\n%v\n%v", version, accepts, of["GET"], of["HEAD"])
			}
			if weak := of["GET"].Get("Etag") == `W/"a"`; weak != (accepts == "gzip") ||
				(of["GET"].Get("Accept-Ranges") == "") != weak {
				t.Errorf("%s, %s: %v", version, accepts, of["GET"])
			}
		}
	}
}

// TestCompress_ConditionsHold is with backends that compare tags strongly,
// which many do, and weakly.
func TestCompress_ConditionsHold(t *testing.T) {
	t.Parallel()
	for _, cache := range []string{"off", "origin"} {
		for _, compares := range []string{"strongly", "weakly"} {
			b := backend.Start(t, "one", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Etag", `"a"`)
				w.Header().Set("Cache-Control", "no-cache")
				w.Header().Set("Content-Type", "text/html")
				for _, tag := range strings.Split(r.Header.Get("If-None-Match"), ", ") {
					if compares == "weakly" {
						tag = strings.TrimPrefix(tag, "W/")
					}
					if tag == `"a"` {
						w.Header().Del("Content-Type")
						w.WriteHeader(http.StatusNotModified)
						return
					}
				}
				_, _ = io.WriteString(w, longText("b"))
			})
			p := pillion.Start(t, "LB_BACKENDS="+b.Target(), "LB_COMPRESS=gzip", "LB_CACHE="+cache)
			for version, client := range clients(t) {
				for _, accepts := range []string{"gzip", "identity"} {
					first := get(t, client, p.URL("/"), "Accept-Encoding", accepts)
					again := get(t, client, p.URL("/"), "Accept-Encoding", accepts, "If-None-Match", first.Header.Get("Etag"))
					name := fmt.Sprintf("cache %s, compared %s, %s, %s", cache, compares, version, accepts)
					if again.StatusCode != 304 || again.Text != "" {
						t.Errorf("%s: %d", name, again.StatusCode)
					}
					for _, field := range []string{"Etag", "Vary"} {
						if one, other := fmt.Sprint(first.Header[field]), fmt.Sprint(again.Header[field]); one != other {
							t.Errorf("%s: %s %s, then %s", name, field, one, other)
						}
					}
					if whole := get(t, client, p.URL("/"), "Accept-Encoding", accepts, "If-None-Match",
						`"b"`); whole.StatusCode != 200 || decodedText(t, whole) != longText("b") {
						t.Errorf("%s: %d for another tag", name, whole.StatusCode)
					}
				}
			}
		}
	}
}

// TestCompress_TheCacheHasAVariantForEachCoding counts what the backend is
// asked for.
func TestCompress_TheCacheHasAVariantForEachCoding(t *testing.T) {
	t.Parallel()
	b, p := startCompressing(t, "LB_CACHE=origin")
	query := html + "&Cache-Control=max-age%3D60&Etag=%22a%22"
	for version, client := range clients(t) {
		for _, accepts := range []string{"gzip", "gzip, deflate, br", "zstd", "br, zstd, gzip", "", "identity", "br"} {
			a := get(t, client, p.URL("/?"+query), "Accept-Encoding", accepts)
			if decodedText(t, a) != longText(query) || a.Header.Get("Vary") != "Accept-Encoding" {
				t.Errorf("%s, %s: %v", version, accepts, a.Header)
			}
			second := get(t, client, p.URL("/?"+query), "Accept-Encoding", accepts)
			if !isHit(second) || second.Text != a.Text || second.Header.Get("Etag") != a.Header.Get("Etag") ||
				second.ContentLength != int64(len(a.Text)) {
				t.Errorf("%s, %s: %v", version, accepts, second.Header)
			}
		}
		part := get(t, client, p.URL("/?"+query), "Accept-Encoding", "gzip", "Range", "bytes=0-3")
		if part.StatusCode != 206 || part.Text != longText(query)[:4] || !isHit(part) {
			t.Errorf("%s: a part: %d %q %v", version, part.StatusCode, part.Text, part.Header)
		}
	}
	if n := b.Hits(); n != 3 {
		t.Errorf("the backend was asked %d times", n)
	}
}

// TestCompress_TrailersSurvive is for both sides on both versions.
func TestCompress_TrailersSurvive(t *testing.T) {
	t.Parallel()
	b := backend.Start(t, "one", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Trailer", "Sum")
		_, _ = io.WriteString(w, longText("c"))
		w.Header().Set("Sum", "1")
	})
	for _, scheme := range []string{"http", "h2c"} {
		p := pillion.Start(t, "LB_BACKENDS="+scheme+"://"+b.Address, "LB_COMPRESS=gzip")
		for version, client := range clients(t) {
			a := get(t, client, p.URL("/"), "Accept-Encoding", "gzip")
			if decodedText(t, a) != longText("c") || a.Header.Get("Content-Encoding") != "gzip" || a.Trailer.Get("Sum") != "1" {
				t.Errorf("%s, %s: %v %v", scheme, version, a.Header, a.Trailer)
			}
		}
	}
}

// TestCompress_ACutBodyIsCutForTheClient has a backend break off, by both ways
// to say where a body ends.
func TestCompress_ACutBodyIsCutForTheClient(t *testing.T) {
	t.Parallel()
	const half = "Content-Type: text/plain\r\n"
	for _, reply := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n" + half + "\r\n" + longText("half"),
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + half + "\r\n4\r\nhalf\r\n",
	} {
		for _, coding := range []string{"gzip", "zstd"} {
			for _, cache := range []string{"off", "origin"} {
				broken := brokenOff(t, reply)
				p := pillion.Start(t, append(calm, broken.Environment(), "LB_COMPRESS=gzip;zstd", "LB_CACHE="+cache)...)
				for version, client := range clients(t) {
					a, err := client.Do(newRequest(t, "GET", p.URL("/"), nil, "Accept-Encoding", coding))
					if err != nil {
						continue // nothing was sent yet
					}
					got, err := io.ReadAll(a.Body)
					a.Body.Close()
					if err == nil && a.StatusCode == 200 {
						t.Errorf("%s, %s: a clean answer of %d bytes", version, coding, len(got))
					}
				}
			}
		}
	}
}

// TestCompress_FilesToo is for those that have no compressed form beside them.
func TestCompress_FilesToo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, file := range [][2]string{ // a compressed form that is older would not be used
		{"page.html", longText("page")}, {"ready.css", longText("css")}, {"ready.css.gz", "ready"},
	} {
		if err := os.WriteFile(filepath.Join(dir, file[0]), []byte(file[1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := pillion.Start(t, "LB_FILES="+dir, "LB_COMPRESS=gzip")
	for version, client := range clients(t) {
		a := get(t, client, p.URL("/page.html"), "Accept-Encoding", "gzip")
		if a.Header.Get("Content-Encoding") != "gzip" || decodedText(t, a) != longText("page") {
			t.Errorf("%s: %v", version, a.Header)
		}
		again := get(t, client, p.URL("/page.html"), "Accept-Encoding", "gzip", "If-None-Match", a.Header.Get("Etag"))
		if again.StatusCode != 304 || again.Header.Get("Etag") != a.Header.Get("Etag") ||
			!strings.HasPrefix(a.Header.Get("Etag"), `W/"`) {
			t.Errorf("%s: %d %v for %v", version, again.StatusCode, again.Header, a.Header)
		}
		if ready := get(t, client, p.URL("/ready.css"), "Accept-Encoding", "gzip"); ready.Text != "ready" {
			t.Errorf("%s: %v %d bytes", version, ready.Header, len(ready.Text))
		}
		if part := get(t, client, p.URL("/page.html"), "Accept-Encoding", "gzip", "Range", "bytes=0-3"); part.Text != "page" {
			t.Errorf("%s: %q", version, part.Text)
		}
	}
}

// TestCompress_IsARoutesOwnMatter has one route compress.
func TestCompress_IsARoutesOwnMatter(t *testing.T) {
	t.Parallel()
	b := backend.Start(t, "one", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, longText("d")) })
	p := pillion.Start(t, "LB_BACKENDS="+b.Target(), "LB_ROUTE__PAGES=/pages/*", "LB_COMPRESS__PAGES=gzip",
		"LB_COMPRESS_MIN__PAGES=4KiB")
	for path, want := range map[string]string{"/": "", "/pages/a": "gzip"} {
		if a := get(t, newClient(t), p.URL(path), "Accept-Encoding", "gzip"); a.Header.Get("Content-Encoding") != want {
			t.Errorf("%s: %v", path, a.Header)
		}
	}
}

func TestCompress_IsCounted(t *testing.T) {
	t.Parallel()
	_, p := startCompressing(t, "LB_STATUS_TOKEN="+watchword)
	get(t, newClient(t), p.URL("/?"+html), "Accept-Encoding", "gzip")
	get(t, newClient(t), p.URL("/?Content-Type=image%2Fpng"), "Accept-Encoding", "gzip")
	metrics := metricsText(t, p.URL(""))
	in, out := sum(metrics, "lb_compress_bytes_in"), sum(metrics, "lb_compress_bytes_out")
	if in < 4096 || out == 0 || out > in/2 ||
		!strings.Contains(metrics, `lb_compress_skipped_total{lb_compress_reason="type"`) {
		t.Errorf("%v in, %v out", in, out)
	}
}
