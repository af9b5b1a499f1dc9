package test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/backend"
)

// client is a program that other people wrote. It asks for an answer in a
// coding, decodes it, and prints the coding and the SHA-256 of what it decoded.
// It prints "unsupported" if it lacks the decoder or the version of HTTP.
type client func(t *testing.T, coding, url string) string

// decodes are the clients that ask in clear text.
var decodes = map[string]client{
	"curl, HTTP/1.1":   curl("--http1.1", "--compressed"),
	"curl, HTTP/2":     curl("--http2-prior-knowledge", "--compressed"),
	"Node, HTTP/1.1":   script("node", "--input-type=module", "-e", nodeFetch),
	"Node, HTTP/2":     script("node", "--input-type=module", "-e", nodeHTTP2),
	"Python, HTTP/1.1": script("python3", "-c", pythonURLLib),
	"Python, HTTP/2":   script("python3", "-c", pythonHTTPX),
}

const nodeFetch = `
import crypto from 'node:crypto'
import zlib from 'node:zlib'
const [coding, url] = process.argv.slice(1)
if (coding === 'zstd' && !zlib.createZstdDecompress) {
  console.log('unsupported')
} else {
  const r = await fetch(url, {headers: {'accept-encoding': coding}})
  let b = Buffer.from(await r.arrayBuffer())
  if (coding === 'zstd' && b.readUInt32LE(0) === 0xfd2fb528) b = zlib.zstdDecompressSync(b) // fetch left it as it was
  console.log(r.headers.get('content-encoding'), crypto.createHash('sha256').update(b).digest('hex'))
}`

const nodeHTTP2 = `
import crypto from 'node:crypto'
import http2 from 'node:http2'
import zlib from 'node:zlib'
const [coding, url] = process.argv.slice(1)
const decoder = {gzip: zlib.createGunzip, zstd: zlib.createZstdDecompress}[coding]
if (!decoder) {
  console.log('unsupported')
} else {
  const session = http2.connect(url)
  const stream = session.request({':path': new URL(url).pathname, 'accept-encoding': coding})
  let said
  stream.on('response', h => { said = h['content-encoding'] })
  const hash = crypto.createHash('sha256')
  for await (const part of stream.pipe(decoder())) hash.update(part)
  console.log(said, hash.digest('hex'))
  session.close()
}`

const pythonURLLib = `
import gzip, hashlib, sys, urllib.request
coding, url = sys.argv[1:]
try:
    decode = gzip.decompress if coding == 'gzip' else __import__('compression.zstd', fromlist=['zstd']).decompress
except ImportError:
    print('unsupported')
    sys.exit()
with urllib.request.urlopen(urllib.request.Request(url, headers={'Accept-Encoding': coding})) as r:
    print(r.headers['Content-Encoding'], hashlib.sha256(decode(r.read())).hexdigest())`

const pythonHTTPX = `
import hashlib, sys
coding, url = sys.argv[1:]
try:
    import h2, httpx
    if coding == 'zstd':
        import zstandard
except ImportError:
    print('unsupported')
    sys.exit()
with httpx.Client(http1=False, http2=True) as client:
    r = client.get(url, headers={'Accept-Encoding': coding})
    print(r.headers['Content-Encoding'], hashlib.sha256(r.content).hexdigest())`

// TestCompress_WhatOthersWroteDecodesIt has real clients decode a long answer
// that comes in parts.
func TestCompress_WhatOthersWroteDecodesIt(t *testing.T) {
	t.Parallel()
	b, sum := startLong(t)
	for _, coding := range []string{"gzip", "zstd"} {
		p := pillion.Start(t, "LB_BACKENDS="+b.Target(), "LB_COMPRESS="+coding)
		for name, ask := range decodes {
			t.Run(name+", "+coding, func(t *testing.T) {
				t.Parallel()
				switch said, want := ask(t, coding, p.URL("/long")), coding+" "+sum; said {
				case want:
				case "unsupported":
					t.Skipf("this client does not know %s, or the version of HTTP", coding)
				default:
					t.Errorf("got %s, want %s", said, want)
				}
			})
		}
	}
}

// TestCompress_ABrowserDecodesIt has Chromium show a page that is compressed,
// whose script fetches an answer that is compressed, too. Browsers take zstd
// under TLS only, and there they choose HTTP/2.
func TestCompress_ABrowserDecodesIt(t *testing.T) {
	t.Parallel()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no browser is installed")
	}

	b, sum := startLong(t)
	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	backend.NewAuthority(t).Write(t, certificate, key)
	for _, coding := range []string{"gzip", "zstd"} {
		p := pillion.Start(t, "LB_BACKENDS="+b.Target(), "LB_COMPRESS="+coding,
			"LB_TLS_CERT_FILE="+certificate, "LB_TLS_KEY_FILE="+key)
		for version, flags := range map[string][]string{"h2": nil, "http/1.1": {"--disable-http2"}} {
			ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
			args := append([]string{
				"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
				"--ignore-certificate-errors", "--user-data-dir=" + profile(t), "--virtual-time-budget=10000",
				"--timeout=60000", "--dump-dom",
			}, flags...)
			dom, err := exec.CommandContext(ctx, chromium, append(args, "https://"+p.Address+"/page")...).Output()
			cancel()
			if err != nil {
				t.Skipf("the browser does not run here: %v", err)
			}
			if want := fmt.Sprintf("said %s %s %s %s", coding, coding, version, sum); !bytes.Contains(dom, []byte(want)) {
				t.Errorf("no %q in %d bytes that end with %.400q", want, len(dom), dom[max(0, len(dom)-400):])
			}
		}
	}
}

// page says which codings it and what it fetches came in. What stands behind
// the script makes it long.
const page = `<!doctype html><html><head><meta charset="utf-8"></head><body><main>empty</main><script type="module">
const answer = await fetch('/long')
const content = await answer.arrayBuffer()
const digest = [...new Uint8Array(await crypto.subtle.digest('SHA-256', content))]
const sum = digest.map(b => b.toString(16).padStart(2, '0')).join('')
const own = await fetch('/page', {method: 'HEAD'})
const entry = performance.getEntriesByType('resource').find(e => e.name.endsWith('/long'))
document.querySelector('main').textContent = ['said', own.headers.get('content-encoding'),
  answer.headers.get('content-encoding'), entry.nextHopProtocol, sum].join(' ')
</script>`

// startLong has a page at /page and elsewhere a long text, both sent in parts.
// sum is the text's SHA-256.
func startLong(t *testing.T) (b *backend.Server, sum string) {
	t.Helper()
	text := longText("some words, more or less, of " + strings.Repeat("one kind and another, ", 20))
	var parts []string
	for i := range 40 {
		parts = append(parts, fmt.Sprint(i, " ", text))
	}
	b = backend.Start(t, "one", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if r.URL.Path == "/page" {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = io.WriteString(w, page)
		}
		for _, part := range parts {
			_, _ = io.WriteString(w, part)
			_ = http.NewResponseController(w).Flush()
		}
	})

	return b, fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(parts, ""))))
}

// curl is the command with flags. It shows the head, which it writes before the
// body, on its standard error.
func curl(flags ...string) client {
	return func(t *testing.T, coding, url string) string {
		path := installed(t, "curl")
		if about, err := exec.Command(path, "--version").Output(); err != nil || !features(about, coding, "HTTP2") {
			return "unsupported"
		}

		head := filepath.Join(t.TempDir(), "head")
		args := append(flags, "-sS", "-H", "Accept-Encoding: "+coding, "-D", head, url)
		body, err := exec.CommandContext(t.Context(), path, args...).Output()
		if err != nil {
			t.Fatal(err)
		}
		said, err := os.ReadFile(head)
		if err != nil {
			t.Fatal(err)
		}

		if !strings.Contains(strings.ToLower(string(said)), "content-encoding: "+coding) {
			return string(said)
		}
		return fmt.Sprintf("%s %x", coding, sha256.Sum256(body))
	}
}

// features reports whether a curl says that it knows a coding and a protocol.
func features(about []byte, coding, protocol string) bool {
	if coding == "gzip" {
		coding = "libz"
	}
	return bytes.Contains(about, []byte(coding)) && bytes.Contains(about, []byte(protocol))
}

// script runs an interpreter, which gets coding and URL as arguments.
func script(name string, args ...string) client {
	return func(t *testing.T, coding, url string) string {
		cmd := exec.CommandContext(t.Context(), installed(t, name), append(args, coding, url)...)
		cmd.Env = append(os.Environ(), "NODE_NO_WARNINGS=1", "no_proxy=*")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}

		return strings.TrimSpace(string(out))
	}
}

// installed finds a program, or the test is skipped.
func installed(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip("needs ", name)
	}

	return path
}

// profile is a folder for a browser, whose last processes may still write to it
// when the browser has ended.
func profile(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "profile-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })

	return dir
}
