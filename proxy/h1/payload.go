package h1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// framing is how the end of a body is known (RFC 9112 section 6.3).
type framing uint8

const (
	noBody framing = iota
	byLength
	byChunks
	untilClose
)

// The next part of a chunked body.
const (
	chunkSize = iota
	chunkData
	chunkEnd
	trailerSection
)

const (
	maxChunkLine  = 1 << 10
	maxExtensions = 16 << 10
)

// payload reads one message's body from an input. It returns io.EOF together
// with the last bytes that have come.
type payload struct {
	in       *input
	framing  framing
	left     int64 // bytes left of the body, or of the chunk
	next     uint8 // in a chunked body
	done     bool
	overhead int      // bytes of chunk extensions so far
	limit    int      // of the trailer section
	scan     headScan // of the trailer section
	trailer  http.Header
	response bool // of a backend
}

// Read fails with io.ErrUnexpectedEOF if the body is cut, with a *refusal if it
// is malformed, or with the error of the source.
func (b *payload) Read(p []byte) (n int, err error) {
	switch {
	case b.done:
		return 0, io.EOF
	case b.framing == byChunks:
		return b.readChunks(p)
	case len(p) == 0:
		return 0, nil
	case b.framing == byLength && int64(len(p)) > b.left:
		p = p[:b.left]
	}

	if b.in.buffered() > 0 {
		n = b.in.take(p)
	} else if n, err = b.in.from.receive(p); err == io.EOF && b.framing == untilClose {
		b.done = true
		return n, err
	}

	if b.framing == byLength {
		if b.left -= int64(n); b.left == 0 {
			b.done = true
			return n, io.EOF
		}
	}

	return n, noEOF(err)
}

// ready reports whether Read returns at once with what has been received.
func (b *payload) ready() bool {
	for !b.done && !b.data() {
		whole, err := b.syntax()
		if err != nil {
			return true // syntax fails again when Read asks
		}
		if !whole {
			return false
		}
	}

	return b.done || b.in.buffered() > 0
}

// data reports whether the next byte is one of the content.
func (b *payload) data() bool { return b.framing != byChunks || b.next == chunkData }

// readChunks copies the chunks that have come. It waits only if there is
// nothing to return.
func (b *payload) readChunks(p []byte) (n int, err error) {
	for {
		if b.next != chunkData {
			whole, err := b.syntax()
			switch {
			case err != nil:
				return n, err
			case b.done:
				return n, io.EOF
			case whole:
				continue
			case n > 0:
				return n, nil
			}

			if err := b.in.fill(max(b.limit, firstBuffer)); err != nil {
				return 0, tooLong(noEOF(err))
			}

			continue
		}

		if n == len(p) {
			return n, nil
		}
		if n > 0 && b.in.buffered() == 0 {
			return n, nil
		}

		m, err := b.readData(p[n:])
		n += m
		if err != nil {
			return n, err
		}
	}
}

// readData reads from the current chunk.
func (b *payload) readData(p []byte) (n int, err error) {
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}

	switch {
	case b.in.buffered() == 0 && len(p) < firstBuffer/2:
		if err := b.in.fill(firstBuffer); err != nil {
			return 0, noEOF(err)
		}
		n = b.in.take(p)
	case b.in.buffered() == 0:
		n, err = b.in.from.receive(p)
	default:
		n = b.in.take(p)
	}

	if b.left -= int64(n); b.left == 0 {
		b.next = chunkEnd
	}

	return n, noEOF(err)
}

// syntax reads the next part of a chunked body that is not data. It reports
// whether the part was complete.
func (b *payload) syntax() (whole bool, _ error) {
	switch have := b.in.bytes(); b.next {
	case chunkSize:
		return b.sizeLine(have)
	case chunkEnd:
		if len(have) > 0 && have[0] != '\r' || len(have) > 1 && have[1] != '\n' {
			return false, malformed("chunk longer than its size")
		}
		if len(have) < 2 {
			return false, nil
		}

		b.in.skip(2)
		b.next = chunkSize
		return true, nil
	default:
		return b.trailers(have)
	}
}

// sizeLine reads a chunk's size: hexadecimal digits, and optional extensions,
// which are dropped. Blanks around the size are refused, because
// implementations disagree about them.
func (b *payload) sizeLine(have []byte) (whole bool, _ error) {
	end := bytes.IndexByte(have, '\n')
	if end < 0 {
		if len(have) > maxChunkLine {
			return false, malformed("chunk size line over the limit")
		}
		return false, nil
	}

	size, digits := parseHex(have[:end])
	if digits == 0 || digits > 15 || end > maxChunkLine || have[end-1] != '\r' {
		return false, malformed("malformed chunk size")
	}

	ext := have[digits : end-1]
	for i, c := range ext {
		if i == 0 && c != ';' || !wire.Is(c, wire.InValue) {
			return false, malformed("malformed chunk size")
		}
	}

	if b.overhead += len(ext); b.overhead > maxExtensions {
		return false, malformed("chunk extensions over the limit")
	}

	b.in.skip(end + 1)
	b.left, b.next = size, chunkData
	if size == 0 {
		b.next = trailerSection
	}

	return true, nil
}

// parseHex reads the leading hexadecimal digits, at most 16.
func parseHex(s []byte) (n int64, digits int) {
	for ; digits < len(s) && digits < 16; digits++ {
		switch c := s[digits]; {
		case digit(c):
			n = n<<4 | int64(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			n = n<<4 | int64(c|0x20-'a'+10)
		default:
			return n, digits
		}
	}

	return n, digits
}

// trailers reads the trailer section. It has its own memory, because it
// outlives the connection's next message.
func (b *payload) trailers(have []byte) (whole bool, _ error) {
	if bytes.HasPrefix(have, crlf) {
		b.in.skip(len(crlf))
		b.done = true
		return true, nil
	}

	end, err := b.scan.end(have)
	if err != nil {
		return false, err
	}
	if end == 0 {
		return false, nil
	}

	if end > max(b.limit, firstBuffer) {
		return false, malformed("trailers over the limit")
	}

	section := block{header: make(http.Header), trailerSet: true, response: b.response}
	lines := string(have[:end-2])
	if err := section.parse(lines, lines); err != nil {
		return false, malformed(err.reason)
	}

	b.in.skip(end)
	b.trailer, b.done = section.header, true
	return true, nil
}

// tooLong returns the error for a full buffer.
func tooLong(err error) error {
	if err == bufio.ErrBufferFull {
		return malformed("trailers over the limit")
	}
	return err
}
