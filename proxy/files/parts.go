package files

import (
	"crypto/rand"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// parts is the body of an answer with several ranges, in the format
// multipart/byteranges (RFC 9110 section 14.6).
type parts struct {
	io.Reader
	file *os.File
}

// newParts makes the body, and sets the Content-Type of the answer. n is the
// body's length.
func newParts(
	h http.Header, f *os.File, state fs.FileInfo, list []byteRange,
) (body *parts, n int64) {
	mediaType, boundary := h["Content-Type"][0], rand.Text()
	h["Content-Type"] = []string{"multipart/byteranges; boundary=" + boundary}

	var pieces []io.Reader
	text := func(s string) {
		pieces = append(pieces, strings.NewReader(s))
		n += int64(len(s))
	}
	for _, one := range list {
		text("\r\n--" + boundary + "\r\nContent-Type: " + mediaType +
			"\r\nContent-Range: " + one.field(state.Size()) + "\r\n\r\n")
		pieces = append(pieces, wire.NewFilePart(f, state, one.at, one.n))
		n += one.n
	}
	text("\r\n--" + boundary + "--\r\n")
	return &parts{io.MultiReader(pieces...), f}, n
}

// Close closes the file.
func (p *parts) Close() error { return p.file.Close() }
