package config

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// lookEvery is the time between two looks at a file.
	lookEvery = time.Second

	// settledAfter is the age from which the date of a file is trusted. A file
	// that changes twice within the resolution of its date looks as if it had
	// changed once, so a younger file is read again.
	settledAfter = 2 * time.Second

	// readAfter is the age of a reading after which the file is read again,
	// even if its date has not changed. Some volumes fetch a file when it is
	// read, and do not give it a new date.
	readAfter = time.Minute
)

// Followed is a value made of the contents of one or more small files. Load
// reads the files once, and Config.FollowFiles reads them again when they
// change. So no request ever waits for a file.
//
// The zero value and a nil Followed have no value. Safe for concurrent use.
type Followed[T any] struct {
	variable string // the variable that names the files, for the log
	paths    []string
	parse    func(contents []string) (*T, error)
	value    atomic.Pointer[T]

	// Used only by the goroutine that looks at the files.
	seen   []fs.FileInfo     // as the files were when the value was made
	read   time.Time         // when the files were read last, by the wall clock
	sum    [sha256.Size]byte // of their contents, which are not kept, because they may be secret
	failed string            // why the newest contents are not usable; "" if they are
}

// Follow reads files for the first time. It fails if a file can't be read, or
// with the error of parse.
func Follow[T any](
	variable string, parse func(contents []string) (*T, error), paths ...string,
) (*Followed[T], error) {
	f := &Followed[T]{variable: variable, paths: paths, parse: parse}
	if _, err := f.look(); err != nil {
		return nil, err
	}
	return f, nil
}

// Fixed returns a Followed without files, whose value never changes.
func Fixed[T any](value *T) *Followed[T] {
	f := &Followed[T]{}
	f.value.Store(value)
	return f
}

// Load returns the current value, or nil. The value itself is never changed: a
// new value has a new address.
func (f *Followed[T]) Load() *T {
	if f == nil {
		return nil
	}
	return f.value.Load()
}

// look reads the files if they have changed, and reports whether there is a new
// value. After an error the last good value stays, and the next look reads the
// files again, because a file may be in the middle of being written.
func (f *Followed[T]) look() (changed bool, err error) {
	infos := make([]fs.FileInfo, len(f.paths))
	for i, path := range f.paths {
		if infos[i], err = os.Stat(path); err != nil {
			return false, unreadable(err)
		}
	}

	now := time.Now().Round(0)
	if f.value.Load() != nil && f.failed == "" && now.Sub(f.read).Abs() < readAfter &&
		same(infos, f.seen) {
		return false, nil
	}

	contents := make([]string, len(f.paths))
	for i, path := range f.paths {
		if contents[i], err = readFile(path); err != nil {
			return false, err
		}
	}

	f.read = now
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", contents))
	if f.value.Load() != nil && sum == f.sum {
		f.seen = infos
		return false, nil
	}

	value, err := f.parse(contents)
	if err != nil {
		return false, err
	}

	f.value.Store(value)
	f.seen, f.sum = infos, sum
	return true, nil
}

// same reports whether files are certainly unchanged.
func same(now, before []fs.FileInfo) bool {
	for i, info := range now {
		old := before[i]
		if !os.SameFile(info, old) || info.Size() != old.Size() ||
			!info.ModTime().Equal(old.ModTime()) {
			return false
		}

		if age := time.Since(info.ModTime()); age < settledAfter {
			return false
		}
	}

	return true
}

// follow looks at the files until ctx ends. It logs once when new contents are
// not usable, and when they are in use.
func (f *Followed[T]) follow(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()

	log = log.With("variable", f.variable)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}

		before := f.failed
		changed, err := f.look()
		switch {
		case err == nil:
			f.failed = ""
		case err.Error() != before:
			f.failed = err.Error()
			log.Warn("a changed file cannot be used, its last good content stays", "error",
				f.failed)
		}

		if changed {
			log.Info("a changed file is in use")
		}
	}
}

// WatchText looks at a small file at once and then every second, until ctx
// ends. After each look it calls looked with the content, or with an error.
func WatchText(ctx context.Context, path string, looked func(content string, err error)) {
	f := &Followed[string]{paths: []string{path}, parse: text}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()

	for ctx.Err() == nil {
		_, err := f.look()
		if f.failed = ""; err != nil {
			f.failed = err.Error()
			looked("", err)
		} else {
			looked(*f.Load(), nil)
		}

		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// FollowFiles reads the files of the settings again whenever they change, until
// ctx ends. Each has its own goroutine, which looks once a second, so a file on
// a dead network file system does not delay the others.
func (c *Config) FollowFiles(ctx context.Context, log *slog.Logger) {
	var group sync.WaitGroup
	for _, file := range c.files {
		group.Go(func() { file.follow(ctx, log) })
	}

	group.Wait()
}

// follower is a Followed of any type.
type follower interface {
	follow(ctx context.Context, log *slog.Logger)
}
