package h1

import (
	"bufio"
	"io"
)

// firstBuffer is what most heads, and most small messages with them, fit in.
const firstBuffer = 8 << 10

// source is a connection as its side reads it: waiting, with that side's limits.
type source interface {
	// receive reads at least one byte or fails; io.EOF is the peer's orderly end.
	receive(p []byte) (int, error)
}

// input is what was read from a connection and not consumed yet.
type input struct {
	buf  []byte
	r, w int
	from source
}

func (in *input) bytes() []byte { return in.buf[in.r:in.w] }
func (in *input) buffered() int { return in.w - in.r }
func (in *input) skip(n int)    { in.r += n }

// reset forgets the content, and the memory when one long head made it large.
func (in *input) reset() {
	in.r, in.w = 0, 0
	if len(in.buf) != firstBuffer {
		in.buf = make([]byte, firstBuffer)
	}
}

// room makes space for further bytes behind the unread ones, up to a limit on those, and returns it.
func (in *input) room(limit int) ([]byte, error) {
	switch {
	case in.r == in.w:
		in.r, in.w = 0, 0
	case in.w < len(in.buf):
	case in.r > 0:
		in.w = copy(in.buf, in.bytes())
		in.r = 0
	case len(in.buf) >= limit:
		return nil, bufio.ErrBufferFull
	default:
		larger := make([]byte, min(2*len(in.buf), limit))
		copy(larger, in.buf)
		in.buf = larger
	}
	return in.buf[in.w:], nil
}

// fill waits for more bytes.
func (in *input) fill(limit int) error {
	p, err := in.room(limit)
	if err != nil {
		return err
	}
	n, err := in.from.receive(p)
	in.w += n
	return err
}

// take moves buffered bytes to p.
func (in *input) take(p []byte) int {
	n := copy(p, in.bytes())
	in.r += n
	return n
}

// noEOF is for places where a message may not end.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
