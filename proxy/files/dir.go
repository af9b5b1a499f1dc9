package files

import (
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// Options are the settings of a Dir.
type Options struct {
	Directory string       // LB_FILES
	Index     string       // LB_FILES_INDEX, the file of a directory
	Fallback  string       // LB_FILES_FALLBACK, such as "/index.html"; "" is none
	Logger    *slog.Logger // nil logs nothing
}

// Dir answers requests with the files of a directory. Safe for concurrent use.
type Dir struct {
	root     root
	index    string
	fallback string // a name below the directory, "" for none
}

// New makes a Dir. While the directory can't be opened, every answer is 503.
func New(o Options) *Dir {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Dir{
		root:     root{path: o.Directory, log: o.Logger},
		index:    o.Index,
		fallback: strings.TrimPrefix(o.Fallback, "/"),
	}
}

// Answer returns the answer to a request. clientPath is the path that the
// client sent, and path the part of it that names the file. Both are received
// bytes, without the query. The caller closes the response's body.
//
// An answer with a status from 400 on has no body, and only the fields of its
// status: Allow, or Content-Range.
func (d *Dir) Answer(r *http.Request, clientPath, path string) *http.Response {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return failed(http.StatusMethodNotAllowed, http.Header{"Allow": {"GET, HEAD"}})
	}
	what, ok := askedBy(path)
	if !ok {
		return failed(http.StatusNotFound, nil)
	}

	f, state, err := d.root.open(what.name)
	if err == nil && state.IsDir() {
		f.Close()
		if !what.slash {
			return redirect(clientPath, r)
		}
		what = asked{name: join(what.name, d.index)}
		if f, state, err = d.root.open(what.name); err == nil && state.IsDir() {
			f.Close()
			err = fs.ErrNotExist
		}
	}
	if err == nil && what.slash {
		f.Close()
		err = fs.ErrNotExist // a file is not a directory
	}
	if err != nil {
		return d.missing(r, what.name, err)
	}
	return d.send(r, what.name, f, state, nil)
}

// missing answers a request for a file that can't be opened.
func (d *Dir) missing(r *http.Request, name string, err error) *http.Response {
	switch {
	case errors.Is(err, errGone):
		return failed(http.StatusServiceUnavailable, nil)
	case errors.Is(err, fs.ErrPermission):
		return failed(http.StatusForbidden, nil)
	case isTrouble(err):
		return failed(http.StatusServiceUnavailable, nil)
	case d.fallback == "" || !wantsPage(r, name):
		return failed(http.StatusNotFound, nil)
	}

	f, state, err := d.root.open(d.fallback)
	if err != nil {
		return failed(http.StatusNotFound, nil)
	}
	if state.IsDir() {
		f.Close()
		return failed(http.StatusNotFound, nil)
	}
	return d.send(r, d.fallback, f, state, []string{"Accept"})
}

// send answers with a file. It closes the file, unless the file becomes the
// body. vary names the request fields by which the file was chosen.
func (d *Dir) send(
	r *http.Request, name string, f *os.File, state fs.FileInfo, vary []string,
) *http.Response {
	kind := typeOf(name)
	h := http.Header{"Content-Type": {kind.mediaType}, "Accept-Ranges": {"bytes"}}
	if kind.compressible {
		vary = append(vary, "Accept-Encoding")
		if c := d.coded(r, name, state); c.file != nil {
			f.Close()
			f, state = c.file, c.state
			h["Content-Encoding"] = []string{c.coding}
		}
	}
	if vary != nil {
		h["Vary"] = []string{strings.Join(vary, ", ")}
	}

	v := validatorsOf(state, time.Now())
	v.say(h)
	switch v.judge(r) {
	case notModified:
		f.Close()
		for _, name := range [...]string{"Content-Type", "Content-Encoding", "Accept-Ranges"} {
			delete(h, name)
		}
		return response(http.StatusNotModified, h, http.NoBody, 0)
	case preconditionFailed:
		f.Close()
		return failed(http.StatusPreconditionFailed, nil)
	}
	if r.Method == http.MethodHead {
		f.Close()
		return whole(h, http.NoBody, state.Size())
	}
	return part(r, h, f, state, v)
}

// part answers with the ranges of a file that a request asks for.
func part(
	r *http.Request, h http.Header, f *os.File, state fs.FileInfo, v validators,
) *http.Response {
	size := state.Size()
	ranges := wholeFile
	if lines := r.Header["Range"]; len(lines) == 1 && v.rangeHolds(r.Header["If-Range"]) {
		ranges = rangesOf(lines[0], size)
	}

	switch {
	case ranges.none:
		f.Close()
		field := "bytes */" + strconv.FormatInt(size, 10)
		return failed(http.StatusRequestedRangeNotSatisfiable, http.Header{"Content-Range": {field}})
	case len(ranges.list) == 0:
		return whole(h, wire.NewFilePart(f, state, 0, size), size)
	case len(ranges.list) == 1:
		one := ranges.list[0]
		h["Content-Range"] = []string{one.field(size)}
		setLength(h, one.n)
		body := wire.NewFilePart(f, state, one.at, one.n)
		return response(http.StatusPartialContent, h, body, one.n)
	}

	body, n := newParts(h, f, state, ranges.list)
	setLength(h, n)
	return response(http.StatusPartialContent, h, body, n)
}

// join returns the name of a file in a directory.
func join(directory, file string) string {
	if directory == "." {
		return file
	}
	return directory + "/" + file
}

// isTrouble reports whether an error leaves open whether the file exists: a
// limit is reached, or the device fails.
func isTrouble(err error) bool {
	for _, trouble := range []error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EIO, syscall.ESTALE,
	} {
		if errors.Is(err, trouble) {
			return true
		}
	}
	return false
}
