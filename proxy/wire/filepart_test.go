package wire

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestFilePart_IsWholeOrEndsWithAnError(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	for _, c := range []struct {
		name   string
		change func() error
		want   string
		err    error
	}{
		{"kept", func() error { return nil }, "cdefgh", nil},
		{"cut behind the part", func() error { return os.Truncate(path, 9) }, "cd", ErrFileChanged},
		{"cut inside the part", func() error { return os.Truncate(path, 5) }, "cd", ErrFileChanged},
		{"touched", func() error { return os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)) }, "cd", ErrFileChanged},
		{"removed", func() error { return os.Remove(path) }, "cdefgh", nil},
	} {
		if err := os.WriteFile(path, []byte("abcdefghij"), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		state, _ := f.Stat()

		part := NewFilePart(f, state, 2, 6)
		first := make([]byte, 2)
		n, _ := part.Read(first)
		if err := c.change(); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(part)
		if got := string(first[:n]) + string(rest); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
		if e, ok := errors.AsType[*Error](err); err != nil && (!ok || e.Client != NoFault) {
			t.Errorf("%s: the client is blamed: %v", c.name, err)
		}
		if err := part.Close(); err != nil {
			t.Error(err)
		}
	}
}
