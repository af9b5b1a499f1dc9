package conformance

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// tool returns the path of a program, or skips the test.
func tool(t *testing.T, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed (apt-get install %s)", name, pkg)
	}

	return path
}

// TestNghttp2_AsBackend puts the program in front of nghttp2's server, with a
// client for HTTP/1.1 and with curl for HTTP/2.
func TestNghttp2_AsBackend(t *testing.T) {
	nghttpd := tool(t, "nghttpd", "nghttp2-server")
	folder := t.TempDir()
	content := make([]byte, 3<<20)
	_, _ = rand.Read(content)
	if err := os.WriteFile(filepath.Join(folder, "large"), content, 0o600); err != nil {
		t.Fatal(err)
	}

	address := backend.Closed(t)
	_, port, _ := net.SplitHostPort(address)
	server := exec.Command(nghttpd, "--no-tls", "-a", "127.0.0.1", "-d", folder, "--echo-upload", "--trailer", "x-sum: 7",
		port)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	await.Until(t, "nghttpd listens", func() bool {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		return c.Close() == nil
	})

	p := pillion.Start(t, "LB_BACKENDS=h2c://"+address)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	for name, client := range map[string]*http.Client{
		"HTTP/1.1": {Transport: &http.Transport{DisableCompression: true}, Timeout: time.Minute},
		"HTTP/2":   {Transport: &http.Transport{Protocols: protocols, DisableCompression: true}, Timeout: time.Minute},
	} {
		t.Run(name, func(t *testing.T) { askNghttpd(t, client, p.URL, content) })
	}

	t.Run("curl", func(t *testing.T) {
		curl := tool(t, "curl", "curl")
		out, err := exec.Command(curl, "-sS", "--http2-prior-knowledge", "-w", "%{http_version} %{http_code}",
			"-o", filepath.Join(t.TempDir(), "got"), p.URL("/large")).CombinedOutput()
		if err != nil || string(out) != "2 200" {
			t.Errorf("%v: %s", err, out)
		}
	})
}

func askNghttpd(t *testing.T, client *http.Client, url func(string) string, content []byte) {
	t.Helper()
	for range 3 {
		resp, err := client.Get(url("/large"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("GET: %d bytes, %v", len(got), err)
		}
		// over HTTP/1.1, an answer with a length has no trailers (RFC 9112
		// section 7.1.2)
		if sum := resp.Trailer.Get("X-Sum"); sum != "7" && resp.ProtoMajor == 2 {
			t.Errorf("GET: the trailer is %q", sum)
		}
	}

	for _, n := range []int{1, 100_000, len(content)} {
		// The length is hidden from net/http in the second case.
		for _, body := range []io.Reader{bytes.NewReader(content[:n]), io.MultiReader(bytes.NewReader(content[:n]))} {
			resp, err := client.Post(url("/echo"), "application/octet-stream", body)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || !bytes.Equal(got, content[:n]) {
				t.Errorf("POST of %d bytes: %d came back, %v", n, len(got), err)
			}
		}
	}

	resp, err := client.Head(url("/large"))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("HEAD: %v %v", resp, err)
	}
	resp, err = client.Get(url("/missing"))
	if err != nil || resp.StatusCode != http.StatusNotFound {
		t.Fatalf("a missing file: %v %v", resp, err)
	}
	_ = resp.Body.Close()
}

// TestNghttp2_AsClient sends requests with nghttp2's clients.
func TestNghttp2_AsClient(t *testing.T) {
	b := backend.Start(t, "one", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		w.Header().Set("X-Took", strconv.FormatInt(n, 10))
		_, _ = w.Write(make([]byte, 10_000))
	})
	p := pillion.Start(t, backend.Backends(b))

	t.Run("nghttp", func(t *testing.T) {
		nghttp := tool(t, "nghttp", "nghttp2-client")
		out, err := exec.Command(nghttp, "-v", "--no-dep", p.URL("/"), p.URL("/b")).CombinedOutput()
		answers := strings.Count(string(out), ":status: 200")
		if err != nil || answers != 2 || bytes.Contains(out, []byte("PROTOCOL_ERROR")) {
			t.Errorf("%v: %d answers\n%s", err, answers, out)
		}
	})

	t.Run("h2load", func(t *testing.T) {
		h2load := tool(t, "h2load", "nghttp2-client")
		body := filepath.Join(t.TempDir(), "body")
		if err := os.WriteFile(body, make([]byte, 20_000), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, extra := range [][]string{nil, {"-d", body}, {"-w", "14", "-W", "16"}} {
			arguments := append([]string{"-n", "5000", "-c", "10", "-m", "20"}, extra...)
			out, err := exec.Command(h2load, append(arguments, p.URL("/"))...).CombinedOutput()
			if err != nil || !regexp.MustCompile(`5000 succeeded, 0 failed, 0 errored`).Match(out) {
				t.Errorf("h2load %v: %v\n%s", arguments, err, out)
			}
		}
	})
}
