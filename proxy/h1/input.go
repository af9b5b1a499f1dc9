package h1

import (
	"bufio"
	"io"
	"sync/atomic"

	"github.com/pillion-lb/pillion/proxy/socket"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// firstBuffer is the size that fits most heads, and most small messages with
// them.
const firstBuffer = 8 << 10

// source reads from a connection, with the limits of its side.
type source interface {
	// receive waits for at least one byte. The error is io.EOF if the peer has
	// ended in order.
	receive(p []byte) (int, error)
}

// input holds what was read from a connection and not used yet.
type input struct {
	buf    []byte
	r, w   int
	from   source
	budget *socket.Budget // a larger buffer takes its memory from it
	grown  *atomic.Int64  // by how much the buffer is larger; may be nil
}

func (in *input) bytes() []byte { return in.buf[in.r:in.w] }
func (in *input) buffered() int { return in.w - in.r }
func (in *input) skip(n int)    { in.r += n }

// reset drops the content, and the memory if a long head made it large.
func (in *input) reset() {
	in.r, in.w = 0, 0
	if len(in.buf) != firstBuffer {
		in.release()
		in.buf = make([]byte, firstBuffer)
	}
}

// release drops the buffer.
func (in *input) release() {
	if larger := len(in.buf) - firstBuffer; larger > 0 {
		in.budget.Give(int64(larger))
		in.note(0)
	}
	in.buf, in.r, in.w = nil, 0, 0
}

func (in *input) note(larger int) {
	if in.grown != nil {
		in.grown.Store(int64(larger))
	}
}

// room returns space for more bytes after the unread ones, up to a limit on
// their number. It fails with bufio.ErrBufferFull at the limit, and with
// wire.ErrShort if the budget refuses a larger buffer.
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
		size := min(2*len(in.buf), limit)
		if !in.budget.Take(int64(size-len(in.buf)), socket.Needed) {
			return nil, wire.ErrShort
		}

		larger := make([]byte, size)
		copy(larger, in.buf)
		in.buf = larger
		in.note(size - firstBuffer)
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

// noEOF turns io.EOF into io.ErrUnexpectedEOF, inside of a message.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
