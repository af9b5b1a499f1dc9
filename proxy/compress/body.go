package compress

import (
	"io"
	"net/http"
)

// Body is the body of a compressed answer. Read reads the service's body as far
// as possible without waiting, and compresses it. Its errors are those of the
// service's body. After an error the compressed data has no valid end, so a
// client notices that it is incomplete.
type Body struct {
	encoders *Encoders
	encoder  *encoder // nil after it was returned
	source   io.ReadCloser
	left     int64 // of the source; -1 if not known
	at       int   // index in the encoder's output
	pauses   bool  // the source may wait, and everything that was read is in the output
	err      error // the error after the output
}

// readier is a body that knows whether its next Read would wait.
type readier interface{ Ready() bool }

// ready reports whether the source can be read without waiting, as far as that
// is known.
func (b *Body) ready() bool {
	if b.left == 0 {
		return true
	}
	s, ok := b.source.(readier)

	return ok && s.Ready()
}

// Read waits only for the service.
func (b *Body) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}

	next, err := b.next()
	if err != nil {
		return 0, err
	}
	n := copy(p, next)
	b.at += n

	return n, nil
}

// WriteTo writes everything. It flushes w, beginning with the head of the
// answer, whenever the service may wait.
func (b *Body) WriteTo(w io.Writer) (total int64, err error) {
	flusher, _ := w.(http.Flusher)
	if flusher != nil && b.encoder != nil && !b.ready() {
		flusher.Flush()
	}

	for {
		next, err := b.next()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}

		n, err := w.Write(next)
		total += int64(n)
		b.at += n
		if err != nil {
			return total, err
		}
		if flusher != nil && b.pauses {
			flusher.Flush()
		}
	}
}

// Buffered returns how many bytes can be read without waiting. If that is not
// known but there are some, it returns 1.
func (b *Body) Buffered() int {
	if b.encoder == nil {
		return 0
	}
	if n := len(b.encoder.out) - b.at; n > 0 {
		return n
	}
	if b.err != nil || b.ready() {
		return 1
	}

	return 0
}

// next returns output that was not used yet.
func (b *Body) next() ([]byte, error) {
	if b.encoder == nil {
		if b.err == nil {
			return nil, http.ErrBodyReadAfterClose
		}
		return nil, b.err
	}

	if b.at == len(b.encoder.out) {
		b.at, b.encoder.out = 0, b.encoder.out[:0]
		for b.err == nil && len(b.encoder.out) == 0 {
			b.err = b.step()
		}
		b.encoders.bytesOut.Add(int64(len(b.encoder.out)))
	}
	if len(b.encoder.out) == 0 {
		b.free()
		return nil, b.err
	}

	return b.encoder.out[b.at:], nil
}

// step reads once. Then it flushes the encoder if the next read may wait, and
// also after an error, so that the bytes before it are not lost.
func (b *Body) step() error {
	e := b.encoder
	b.pauses = false
	n, err := b.source.Read(e.in[:])
	if n > 0 {
		b.encoders.bytesIn.Add(int64(n))
		if b.left > 0 {
			b.left -= int64(n)
		}
		if _, failed := e.stream.Write(e.in[:n]); failed != nil {
			return failed
		}
	}

	switch {
	case err == io.EOF:
		if failed := e.stream.Close(); failed != nil {
			return failed
		}
		return err
	case err != nil || n > 0 && !b.ready():
		b.pauses = true
		if failed := e.stream.Flush(); failed != nil {
			return failed
		}
	}

	return err
}

// free returns the encoder.
func (b *Body) free() {
	if b.encoder != nil {
		b.encoders.give(b.encoder)
		b.encoder = nil
	}
}

// Close closes the service's body and returns the encoder.
func (b *Body) Close() error {
	if b.source == nil {
		return nil
	}

	err := b.source.Close()
	b.free()
	b.source = nil

	return err
}
