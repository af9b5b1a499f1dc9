package files

import (
	"io/fs"
	"net/http"
	"os"
	"slices"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// coding is a content coding and the ending of files with it.
type coding struct {
	wire.Coding
	ending string
}

// codings returns the codings that a file may have, the usually smallest first.
func codings() [3]coding {
	return [...]coding{{wire.Brotli, ".br"}, {wire.Zstd, ".zst"}, {wire.Gzip, ".gz"}}
}

// codedFile is an open file with the compressed form of another one.
type codedFile struct {
	file   *os.File // nil if there is none
	state  fs.FileInfo
	coding string
}

// coded finds the compressed form that the client prefers. A form that is older
// than the file is ignored, because it was made of an earlier version.
func (d *Dir) coded(r *http.Request, name string, original fs.FileInfo) codedFile {
	for _, c := range accepted(r.Header["Accept-Encoding"]) {
		f, state, err := d.root.open(name + c.ending)
		if err != nil {
			continue
		}
		if state.Mode().IsRegular() && !state.ModTime().Before(original.ModTime()) {
			return codedFile{f, state, c.String()}
		}
		f.Close()
	}
	return codedFile{}
}

// accepted returns the codings that a client accepts, the preferred one first.
func accepted(lines []string) []coding {
	if len(lines) == 0 {
		return nil
	}

	a := wire.AcceptEncoding(lines)
	var out []coding
	for _, c := range codings() {
		if a.Weight(c.Coding) > 0 {
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out,
		func(b, c coding) int { return a.Weight(c.Coding) - a.Weight(b.Coding) })
	return out
}
