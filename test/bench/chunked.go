//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
)

// chunked reads a chunked body (RFC 9112 section 7.1) in pieces of any size.
// The zero value is at its beginning.
type chunked struct {
	part   part
	left   int64 // of a chunk's content
	digits int
	blank  bool // nothing of the trailer's line has come
}

// part is the next part of a chunked body.
type part uint8

const (
	chunkSize part = iota
	chunkExtension
	chunkContent
	chunkEnd
	trailers
	bodyEnd
)

var errChunk = errors.New("a broken chunk")

// take reads b and calls content with each piece of the content, unless it is
// nil. It returns what follows the body.
func (c *chunked) take(b []byte, content func([]byte)) ([]byte, error) {
	for len(b) > 0 && c.part != bodyEnd {
		if c.part != chunkContent {
			if err := c.framing(b[0]); err != nil {
				return nil, err
			}
			b = b[1:]
			continue
		}

		n := min(int64(len(b)), c.left)
		if content != nil {
			content(b[:n])
		}

		b, c.left = b[n:], c.left-n
		if c.left == 0 {
			c.part = chunkEnd
		}
	}

	return b, nil
}

// framing reads a byte that is not content.
func (c *chunked) framing(b byte) error {
	switch c.part {
	case chunkSize:
		return c.size(b)
	case chunkExtension:
		if b == '\n' {
			c.begin()
		}
	case chunkEnd:
		if b == '\n' {
			c.part = chunkSize
		} else if b != '\r' {
			return fmt.Errorf("%w: %q in place of its end", errChunk, b)
		}

	case trailers:
		switch {
		case b == '\n' && c.blank:
			c.part = bodyEnd
		case b == '\n':
			c.blank = true
		case b != '\r':
			c.blank = false
		}
	}

	return nil
}

// size takes a byte of a chunk's first line.
func (c *chunked) size(b byte) error {
	if digit := bytes.IndexByte([]byte("0123456789abcdef"), b|0x20); digit >= 0 && b >= '0' {
		if c.digits++; c.digits > 8 {
			return fmt.Errorf("%w: too large", errChunk)
		}
		c.left = c.left<<4 | int64(digit)
		return nil
	}

	if c.digits == 0 {
		return fmt.Errorf("%w: %q in place of a size", errChunk, b)
	}

	c.part = chunkExtension
	return nil
}

// begin follows a chunk's first line.
func (c *chunked) begin() {
	c.digits, c.part = 0, chunkContent
	if c.left == 0 {
		c.part, c.blank = trailers, true
	}
}

// over reports whether the body is complete.
func (c *chunked) over() bool { return c.part == bodyEnd }
