package h2

import "sync"

// content is the part of a body that has come and was not read yet. Small
// content is in a slice that stays with its stream, larger content in a buffer
// from a pool.
type content struct {
	bytes []byte
	at    int // index of the first unread byte
}

const (
	smallContent  = 4 << 10
	mediumContent = 16 << 10
	largeContent  = 64 << 10
)

var (
	smallBuffers  = sync.Pool{New: func() any { return new([smallContent]byte) }}
	mediumBuffers = sync.Pool{New: func() any { return new([mediumContent]byte) }}
	largeBuffers  = sync.Pool{New: func() any { return new([largeContent]byte) }}
)

// len returns the number of unread bytes.
func (k *content) len() int { return len(k.bytes) - k.at }

// read moves bytes to p.
func (k *content) read(p []byte) int {
	n := copy(p, k.bytes[k.at:])
	k.at += n
	if k.at == len(k.bytes) {
		k.bytes, k.at = k.bytes[:0], 0
	}
	return n
}

// all empties the content and returns it. The caller owns the buffer.
func (k *content) all() []byte {
	p := k.bytes[k.at:]
	k.bytes, k.at = nil, 0
	return p
}

// size returns the size of the buffer that holds n more bytes.
func (k *content) size(n int) int {
	switch n += k.len(); {
	case n <= cap(k.bytes):
		return cap(k.bytes)
	case n <= smallContent:
		return smallContent
	case n <= mediumContent:
		return mediumContent
	case n <= largeContent:
		return largeContent
	}
	return (n + largeContent - 1) / largeContent * largeContent
}

// add copies bytes to the end.
func (k *content) add(p []byte) {
	if len(k.bytes)+len(p) > cap(k.bytes) {
		k.room(len(p))
	}
	k.bytes = append(k.bytes, p...)
}

// room makes space for n more bytes.
func (k *content) room(n int) {
	size := k.size(n)
	if size <= cap(k.bytes) {
		k.bytes = k.bytes[:copy(k.bytes, k.bytes[k.at:])]
		k.at = 0
		return
	}
	b := append(borrow(size), k.bytes[k.at:]...)
	giveBack(k.bytes)
	k.bytes, k.at = b, 0
}

// borrow returns an empty buffer.
func borrow(size int) []byte {
	switch size {
	case smallContent:
		return smallBuffers.Get().(*[smallContent]byte)[:0]
	case mediumContent:
		return mediumBuffers.Get().(*[mediumContent]byte)[:0]
	case largeContent:
		return largeBuffers.Get().(*[largeContent]byte)[:0]
	}
	return make([]byte, 0, size)
}

// giveBack returns a buffer to its pool. A buffer of another size is left to
// the garbage collector, also one whose beginning was cut off.
func giveBack(b []byte) {
	switch cap(b) {
	case smallContent:
		smallBuffers.Put((*[smallContent]byte)(b[:smallContent]))
	case mediumContent:
		mediumBuffers.Put((*[mediumContent]byte)(b[:mediumContent]))
	case largeContent:
		largeBuffers.Put((*[largeContent]byte)(b[:largeContent]))
	}
}

// clear drops everything. A small slice stays for the next body.
func (k *content) clear() {
	if cap(k.bytes) > smallContent {
		giveBack(k.bytes)
		k.bytes = nil
	}
	k.bytes, k.at = k.bytes[:0], 0
}
