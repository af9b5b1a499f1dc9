package compress

import (
	"io"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// Encoders are the encoders of one process, with their counters. They are safe
// for concurrent use.
type Encoders struct {
	most int64
	used atomic.Int64
	gzip sync.Pool
	zstd sync.Pool

	bytesIn, bytesOut atomic.Int64
	skipped           [skips]atomic.Int64
}

// NewEncoders makes Encoders of which most can be in use at a time.
func NewEncoders(most int) *Encoders {
	return &Encoders{
		most: int64(most),
		gzip: sync.Pool{New: func() any { return newEncoder(newGzip()) }},
		zstd: sync.Pool{New: func() any { return newEncoder(newZstd()) }},
	}
}

// Stats are the counters since the start.
type Stats struct {
	BytesIn, BytesOut int64
	Skipped           map[string]int64 // answers that were not compressed, by reason
}

// Stats returns the counters. They are read one after the other.
func (e *Encoders) Stats() Stats {
	s := Stats{BytesIn: e.bytesIn.Load(), BytesOut: e.bytesOut.Load(), Skipped: make(map[string]int64)}
	for why := range skips {
		if n := e.skipped[why].Load(); n > 0 {
			s.Skipped[why.String()] = n
		}
	}

	return s
}

// skip counts an answer that is not compressed.
func (e *Encoders) skip(why skip) {
	if why.String() != "" {
		e.skipped[why].Add(1)
	}
}

// take returns an encoder, or nil if none is free.
func (e *Encoders) take(c wire.Coding) *encoder {
	if e.used.Add(1) > e.most {
		e.used.Add(-1)
		return nil
	}

	n := e.pool(c).Get().(*encoder)
	n.coding = c
	n.stream.Reset(n)

	return n
}

// give takes back an encoder, in any state.
func (e *Encoders) give(n *encoder) {
	n.stream.Reset(io.Discard)
	n.out = n.out[:0]
	if cap(n.out) > mostOut {
		n.out = nil
	}
	e.pool(n.coding).Put(n)
	e.used.Add(-1)
}

func (e *Encoders) pool(c wire.Coding) *sync.Pool {
	if c == wire.Zstd {
		return &e.zstd
	}

	return &e.gzip
}

// stream is the library's encoder.
type stream interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

const (
	inSize     = 32 << 10
	mostOut    = 160 << 10
	zstdWindow = 128 << 10
	gzipLevel  = 5
)

// encoder is one encoder with its buffers. It is the io.Writer of its stream.
type encoder struct {
	stream stream
	coding wire.Coding
	in     [inSize]byte
	out    []byte // encoded bytes that were not used yet
}

func newEncoder(s stream) *encoder { return &encoder{stream: s} }

// Write collects the output of the stream.
func (e *encoder) Write(p []byte) (int, error) {
	e.out = append(e.out, p...)
	return len(p), nil
}

func newGzip() stream {
	z, _ := gzip.NewWriterLevel(io.Discard, gzipLevel) // fails for other levels only

	return z
}

// newZstd makes an encoder that works in the goroutine of its caller. The
// library's defaults need eleven times the memory.
func newZstd() stream {
	z, _ := zstd.NewWriter(io.Discard, // fails for other values only
		zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(zstdWindow),
		zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithZeroFrames(true),
	)

	return z
}
