package h1

import (
	"errors"
	"io"
	"os"

	"github.com/pillion-lb/pillion/proxy/socket"
	"github.com/pillion-lb/pillion/proxy/wire"
)

const (
	// minSendFile is from how many bytes of a file on it is worth its system
	// calls to have the kernel send it.
	minSendFile = 2 * copiedEnd

	// copiedEnd is how much of a file's end is copied. The state of the file is
	// looked at between reading it and sending it, so that an answer that is
	// complete was of one version.
	copiedEnd = 32 << 10

	// sentAtOnce is after how many bytes the state of the file is looked at.
	sentAtOnce = 8 << 20
)

func (w *writer) canSendFile(f *wire.FilePart) bool {
	return f.Left() >= minSendFile && w.conn.raw != nil &&
		w.err == nil && w.headWritten && !w.bodyless &&
		!w.chunked && w.length-w.written >= f.Left() && w.conn.server.files.Usable()
}

// sendFile has the kernel send all of a part of a file but its end. It returns
// nil with less than that when the rest has to be copied.
func (w *writer) sendFile(f *wire.FilePart) (n int64, err error) {
	if err := w.FlushError(); err != nil {
		return 0, err
	}
	defer w.conn.awaits.write.Store(0)

	for f.Left() > copiedEnd {
		if err := f.Same(); err != nil {
			return n, err
		}

		file, at := f.Next()
		most := min(f.Left()-copiedEnd, sentAtOnce)
		m, err := w.conn.server.files.Send(w.conn.raw, file, at, most, w.conn.armWrite)
		f.Skip(m)
		n += m
		w.written += m
		w.sent = true
		switch {
		case err == socket.ErrCopy:
			return n, nil
		case err != nil:
			w.err = err
			late := errors.Is(err, os.ErrDeadlineExceeded)
			return n, &wire.Error{Client: wire.Gone, Timeout: late, Err: err}
		case m < most:
			return n, f.Changed()
		}
	}
	return n, nil
}

// copyFrom copies what a reader has.
func (w *writer) copyFrom(r io.Reader) (n int64, err error) {
	buf := make([]byte, 32<<10)
	for {
		m, rerr := r.Read(buf)
		if m > 0 {
			k, err := w.Write(buf[:m])
			n += int64(k)
			if err != nil {
				return n, err
			}
		}
		if rerr == io.EOF {
			return n, nil
		}
		if rerr != nil {
			return n, rerr
		}
	}
}
