package files

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"
)

// lookAfter is the time between two checks whether the directory was replaced,
// as by a deployment that changes a symbolic link, or by a new mount.
const lookAfter = time.Second

// errGone means that the directory does not exist.
var errGone = errors.New("the directory of LB_FILES is gone")

// root is the directory that a path names now. Safe for concurrent use.
type root struct {
	path string
	log  *slog.Logger

	mu     sync.Mutex
	dir    *os.Root // nil while it does not exist
	gone   bool     // it was logged that it does not exist
	state  fs.FileInfo
	looked time.Time
}

// now returns the current directory. The garbage collector closes a replaced
// directory after the last request that uses it.
func (r *root) now() (*os.Root, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.Sub(r.looked) >= lookAfter {
		r.looked = now
		r.look()
	}
	if r.dir == nil {
		return nil, errGone
	}
	return r.dir, nil
}

// look opens the directory again if it was replaced.
func (r *root) look() {
	state, err := os.Stat(r.path)
	if err == nil && r.dir != nil && os.SameFile(state, r.state) {
		return
	}

	var dir *os.Root
	if err == nil {
		dir, err = os.OpenRoot(r.path)
	}
	switch {
	case err != nil && !r.gone:
		r.log.Error("the files of a route are gone", "directory", r.path, "error", err.Error())
	case err == nil && r.gone:
		r.log.Info("the files of a route are back", "directory", r.path)
	}
	if err != nil {
		dir = nil
	}
	r.dir, r.state, r.gone = dir, state, err != nil
}

// open opens a file or a directory. It refuses pipes and devices, and does not
// wait when it opens one.
func (r *root) open(name string) (*os.File, fs.FileInfo, error) {
	dir, err := r.now()
	if err != nil {
		return nil, nil, err
	}

	f, err := dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	state, err := f.Stat()
	if err == nil && !state.Mode().IsRegular() && !state.IsDir() {
		err = fs.ErrNotExist
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, state, nil
}
