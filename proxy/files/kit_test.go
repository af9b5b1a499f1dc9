package files

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"os"
	"path/filepath"
	"testing"
)

// tree makes a directory of files, given by their names and texts. A name that
// ends in "/" is a directory.
func tree(t testing.TB, files map[string]string) string {
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

func dirOf(t testing.TB, o Options) *Dir {
	t.Helper()
	if o.Index == "" {
		o.Index = "index.html"
	}
	return New(o)
}

// request returns a request whose fields are names and values in turn.
func request(method, target string, fields ...string) *http.Request {
	r := httptest.NewRequest(method, "http://shop.example/", nil)
	r.URL.Path, r.URL.RawQuery = target, ""
	r.Header = http.Header{}
	for i := 0; i+1 < len(fields); i += 2 {
		name := textproto.CanonicalMIMEHeaderKey(fields[i])
		r.Header[name] = append(r.Header[name], fields[i+1])
	}
	return r
}

// got is an answer with its body.
type got struct {
	*http.Response
	text string
}

// get asks a Dir for a path.
func get(t testing.TB, d *Dir, method, path string, fields ...string) got {
	t.Helper()
	resp := d.Answer(request(method, path, fields...), path, path)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("%s: %v", path, err)
	}
	if resp.StatusCode < 400 && method != http.MethodHead && int64(len(text)) != resp.ContentLength {
		t.Errorf("%s: %d bytes, length %d", path, len(text), resp.ContentLength)
	}
	return got{resp, string(text)}
}
