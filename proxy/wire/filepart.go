package wire

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// ErrFileChanged ends a body early, because the rest of the file belongs to
// another version than the bytes that were sent.
var ErrFileChanged = errors.New("the file was changed while it was sent")

// FilePart is a part of an open file, as a body. If the file changes meanwhile,
// the body ends with an error, so it never mixes two versions, as far as the
// size and the modification time show a change. The zero value is empty. It
// belongs to one goroutine, and several parts may share a file.
type FilePart struct {
	file  *os.File
	at    int64
	left  int64
	state fs.FileInfo // of the file when it was opened
}

// NewFilePart makes a body of n bytes of a file from an offset on. state is
// that of the file when the part was chosen.
func NewFilePart(file *os.File, state fs.FileInfo, at, n int64) *FilePart {
	return &FilePart{file: file, at: at, left: n, state: state}
}

// Left returns the number of unread bytes.
func (f *FilePart) Left() int64 { return f.left }

// Ready reports whether Read returns without waiting, which it always does.
func (*FilePart) Ready() bool { return true }

// Next returns the position of the next bytes.
func (f *FilePart) Next() (file *os.File, at int64) { return f.file, f.at }

// Skip moves past n bytes that were sent without being read.
func (f *FilePart) Skip(n int64) {
	f.at += n
	f.left -= n
}

// Same fails with an *Error of ErrFileChanged if the file has changed.
func (f *FilePart) Same() error {
	now, err := f.file.Stat()
	switch {
	case err != nil:
		return broken(err)
	case now.Size() != f.state.Size() || !now.ModTime().Equal(f.state.ModTime()):
		return f.Changed()
	}
	return nil
}

// Changed returns the error for a file that has become shorter.
func (f *FilePart) Changed() error { return broken(ErrFileChanged) }

// broken makes an *Error of an error of the side that the body comes from.
func broken(err error) error { return &Error{Outcome: Broken, Phase: Body, Err: err} }

// Read reads the next bytes. The state of the file is checked after they were
// read and before they are returned. Its errors are io.EOF and *Error.
func (f *FilePart) Read(p []byte) (int, error) {
	if f.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > f.left {
		p = p[:f.left]
	}
	if len(p) == 0 {
		return 0, nil
	}

	n, err := f.file.ReadAt(p, f.at)
	if same := f.Same(); same != nil {
		return 0, same
	}
	switch {
	case n == 0 && err == io.EOF:
		return 0, f.Changed()
	case n == 0:
		return 0, broken(err)
	}

	f.Skip(int64(n))
	if f.left == 0 {
		return n, io.EOF
	}
	return n, nil
}

// Close closes the file.
func (f *FilePart) Close() error {
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}
