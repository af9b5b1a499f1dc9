package h1

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// fileOf writes a file whose bytes tell where they stand.
func fileOf(t testing.TB, size int) (path string, content []byte) {
	t.Helper()
	content = make([]byte, size)
	for i := range content {
		content[i] = byte(i*7 + i>>8 + i>>16)
	}

	path = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, content
}

// fileServer sends a part of a file, as its query says.
func fileServer(t testing.TB, path string) string {
	return serve(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var at, n int64
		fmt.Sscanf(r.URL.RawQuery, "%d-%d", &at, &n)
		f, err := os.Open(path)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		state, _ := f.Stat()

		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		w.WriteHeader(http.StatusOK)
		sent, err := w.(io.ReaderFrom).ReadFrom(wire.NewFilePart(f, state, at, n))
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if sent != n {
			t.Errorf("%d bytes of %d", sent, n)
		}
	})})
}

func TestSendFile_EveryPartOfAFileIsWhole(t *testing.T) {
	t.Parallel()
	const size = 2*sentAtOnce + 1<<20 + 17
	path, content := fileOf(t, size)
	k := dial(t, fileServer(t, path))
	for _, part := range [][2]int{
		{0, size}, {0, 0}, {0, 1}, {size - 1, 1}, {5, minSendFile - 1}, {5, minSendFile}, {7, minSendFile + 1},
		{0, sentAtOnce + copiedEnd}, {1, sentAtOnce + copiedEnd + 1}, {13, 2*sentAtOnce - 1}, {size - 100_000, 100_000},
	} {
		k.send(fmt.Sprintf("GET /?%d-%d HTTP/1.1\r\nHost: x\r\n\r\n", part[0], part[1]))
		if _, body := k.response("GET"); body != string(content[part[0]:part[0]+part[1]]) {
			t.Errorf("%v: %d bytes are not those of the file", part, len(body))
		}
	}
}

// TestSendFile_AFileThatChangesIsWholeOrCut: what a client has in full is of
// one version, whatever happens to the file meanwhile.
func TestSendFile_AFileThatChangesIsWholeOrCut(t *testing.T) {
	t.Parallel()
	const size = 24 << 20
	for name, change := range map[string]func(path string) error{
		"overwritten": func(path string) error { return overwrite(path, bytes.Repeat([]byte("z"), size)) },
		"truncated":   func(path string) error { return os.Truncate(path, size/2) },
		"emptied":     func(path string) error { return os.Truncate(path, 0) },
		"replaced": func(path string) error {
			if err := os.WriteFile(path+".new", bytes.Repeat([]byte("z"), size), 0o600); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		},
		"removed": os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, content := fileOf(t, size)
			k := dial(t, fileServer(t, path))
			k.send(fmt.Sprintf("GET /?0-%d HTTP/1.1\r\nHost: x\r\n\r\n", size))
			resp, err := http.ReadResponse(k.r, nil)
			if err != nil {
				t.Fatal(err)
			}

			body := make([]byte, size)
			if _, err = io.ReadFull(resp.Body, body[:1<<20]); err != nil {
				t.Fatal(err)
			}
			if err := change(path); err != nil {
				t.Fatal(err)
			}

			_, err = io.ReadFull(resp.Body, body[1<<20:])
			whole := name == "replaced" || name == "removed"
			if whole != (err == nil) {
				t.Errorf("the rest: %v", err)
			}
			if err == nil && !bytes.Equal(body, content) {
				t.Error("two versions are mixed")
			}
		})
	}
}

// overwrite writes a file in place and makes sure that its time of modification
// changes.
func overwrite(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(content); err != nil {
		return err
	}
	return os.Chtimes(path, time.Time{}, time.Now().Add(time.Minute))
}
