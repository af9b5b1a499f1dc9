package config

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// following is a Followed of the joined contents of files, and the log of what
// follows them. It ends with the test. "bad" is no good content.
func following(t *testing.T, paths ...string) (*Followed[string], *bytes.Buffer) {
	t.Helper()
	f, err := Follow("LB_X", func(contents []string) (*string, error) {
		joined := strings.Join(contents, "+")
		if strings.Contains(joined, "bad") {
			return nil, errors.New("is bad")
		}
		return &joined, nil
	}, paths...)
	if err != nil {
		t.Fatal(err)
	}

	var log bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		(&Config{files: []follower{f}}).FollowFiles(ctx, slog.New(slog.NewTextHandler(&log, nil)))
		close(ended)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return f, &log
}

// later is a moment after the next look at the files.
func later() {
	time.Sleep(lookEvery)
	synctest.Wait()
}

func TestFollowed_TheLastGoodContentStays(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	synctest.Test(t, func(t *testing.T) {
		write(t, path, "one")
		f, log := following(t, path)
		for _, step := range []struct{ content, want string }{
			{"two", "two"}, {"bad", "two"}, {"bad too", "two"}, {"three", "three"}, {"three", "three"}, {"", ""},
			{"four", "four"},
		} {
			write(t, path, step.content)
			later()
			if got := *f.Load(); got != step.want {
				t.Errorf("%q: got %q, want %q", step.content, got, step.want)
			}
		}

		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		later()
		if got := *f.Load(); got != "four" {
			t.Errorf("a removed file: got %q", got)
		}
		write(t, path, "five")
		later()
		if got := *f.Load(); got != "five" {
			t.Errorf("a file that is back: got %q", got)
		}

		warnings, uses := strings.Count(log.String(), "level=WARN"), strings.Count(log.String(), "is in use")
		if warnings != 2 || uses != 5 { // bad, and removed; two, three, "", four, five
			t.Errorf("%d warnings and %d changes:\n%s", warnings, uses, log)
		}
	})
}

// A replaced certificate comes before its key. The pair of both that do not
// match is not used, and not taken for final.
func TestFollowed_SeveralFilesChangeOneAfterTheOther(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one, other := filepath.Join(dir, "one"), filepath.Join(dir, "other")
	synctest.Test(t, func(t *testing.T) {
		write(t, one, "a")
		write(t, other, "b")
		f, _ := following(t, one, other)
		write(t, one, "bad until the other follows")
		later()
		if got := *f.Load(); got != "a+b" {
			t.Errorf("got %q", got)
		}
		write(t, one, "c")
		write(t, other, "d")
		later()
		if got := *f.Load(); got != "c+d" {
			t.Errorf("got %q", got)
		}
	})
}

// Kubernetes replaces a mounted secret by another directory behind a link, and
// others keep the date and the length of a file.
func TestFollowed_EveryWayToReplaceAFileIsSeen(t *testing.T) {
	t.Parallel()
	old := time.Now().Add(-time.Hour)
	for name, replace := range map[string]func(t *testing.T, path string){
		"rename": func(t *testing.T, path string) {
			write(t, path+".new", "two")
			if err := errors.Join(os.Chtimes(path+".new", old, old), os.Rename(path+".new", path)); err != nil {
				t.Fatal(err)
			}
		},
		"link": func(t *testing.T, path string) {
			write(t, path+".data", "two")
			if err := errors.Join(os.Chtimes(path+".data", old, old), os.Remove(path),
				os.Symlink(path+".data", path)); err != nil {
				t.Fatal(err)
			}
		},
		"another length at the same date": func(t *testing.T, path string) {
			write(t, path, "two and more")
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		},
		"another date": func(t *testing.T, path string) { write(t, path, "two") },
	} {
		path := filepath.Join(t.TempDir(), "file")
		write(t, path, "one")
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
		f := followedText(t, path)
		if changed, err := f.look(); changed || err != nil {
			t.Errorf("%s: an unchanged file: %v, %v", name, changed, err)
		}

		replace(t, path)
		if changed, err := f.look(); !changed || err != nil || !strings.HasPrefix(*f.Load(), "two") {
			t.Errorf("%s: got %q, %v", name, *f.Load(), err)
		}
	}
}

// Two changes within the resolution of a file's date look like one.
func TestFollowed_AYoungFileIsReadAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "one")
	f := followedText(t, path)

	now := time.Now()
	write(t, path, "two")
	if err := os.Chtimes(path, now, now); err != nil {
		t.Fatal(err)
	}
	f.look()
	write(t, path, "six")
	if err := os.Chtimes(path, now, now); err != nil {
		t.Fatal(err)
	}
	if changed, err := f.look(); !changed || err != nil || *f.Load() != "six" {
		t.Errorf("got %q, %v", *f.Load(), err)
	}
}

func followedText(t *testing.T, path string) *Followed[string] {
	t.Helper()
	f, err := FollowText("LB_X", path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFollowed_NilHoldsNothing(t *testing.T) {
	t.Parallel()
	var f *Followed[string]
	if f.Load() != nil || *Fixed(new(string)).Load() != "" {
		t.Error("got a value")
	}
}

// Some volumes fetch a file when it is read, and date it as they like.
func TestFollowed_AFileThatNeverLooksChangedIsReadEveryMinute(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	synctest.Test(t, func(t *testing.T) {
		old := time.Now().Add(-time.Hour)
		dated := func(content string) {
			write(t, path, content)
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
		dated("one")
		f, _ := following(t, path)
		dated("two")
		time.Sleep(readAfter + lookEvery)
		synctest.Wait()
		if got := *f.Load(); got != "two" {
			t.Errorf("got %q", got)
		}
	})
}
