//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// begin sends the next request of c; its latency counts from due.
func (l *load) begin(c *clientConn, due time.Time) error {
	if l.spec.NewEach {
		if err := l.connect(c); err != nil {
			return err
		}
	}

	c.begun = due
	if l.spec.Frames.Size > 0 {
		c.inBody, c.left = true, l.answer
	}

	c.out = c.requests[c.next]
	if l.spec.Unique {
		l.putSerial(c.out)
	}
	c.next = (c.next + 1) % len(c.requests)
	if l.spec.Upload > maxJoined {
		c.tail = l.upload
	}

	l.inFlight++
	return l.flush(c)
}

func (l *load) flush(c *clientConn) error {
	for {
		if len(c.out) == 0 {
			if len(c.tail) == 0 {
				return l.wantWrite(c, false)
			}
			c.out, c.tail = c.tail, nil
		}

		n, err := send(c.fd, c.out)
		c.out = c.out[n:]
		if again(err) {
			return l.wantWrite(c, true)
		}

		if err != nil {
			return fmt.Errorf("send: %w", err)
		}
	}
}

func (l *load) wantWrite(c *clientConn, on bool) error {
	if c.blocked == on {
		return nil
	}
	c.blocked = on
	return l.poll.watch(c.fd, on)
}

// progress moves one exchange on and reports whether it has ended.
func (l *load) progress(c *clientConn, events uint32) (bool, error) {
	if events&unix.EPOLLOUT != 0 {
		return false, l.flush(c)
	}

	if c.inBody && !c.chunked && c.left > int64(len(l.scratch))/4 {
		n, err := discard(c.fd, l.scratch[:min(c.left, int64(len(l.scratch)))])
		return l.took(c, int64(n), err)
	}

	n := copy(l.scratch, c.partial)
	m, err := receive(c.fd, l.scratch[n:])
	if c.ended && (m == 0 && !again(err) || err == unix.ECONNRESET) {
		l.disconnect(c)
		c.ended = false
		l.inFlight--
		return true, nil
	}

	switch {
	case err == nil && m > 0 && c.chunked:
		return l.takeChunks(c, l.scratch[:m])
	case err != nil || m == 0 || c.inBody:
		return l.took(c, int64(m), err)
	}

	return l.takeHead(c, l.scratch[:n+m])
}

var errClosed = errors.New("the proxy closed a connection before the whole answer")

// took counts body bytes.
func (l *load) took(c *clientConn, n int64, err error) (bool, error) {
	if again(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("receive: %w", err)
	}

	if n == 0 {
		return false, errClosed
	}

	c.left -= n
	if c.left < 0 {
		return false, fmt.Errorf("%d bytes after the answer", -c.left)
	}

	return l.maybeEnd(c)
}

func (l *load) takeHead(c *clientConn, buf []byte) (bool, error) {
	i := bytes.Index(buf, blankLine)
	if i < 0 {
		c.partial = append(c.partial[:0], buf...)
		return false, nil
	}

	a, err := parseAnswer(buf[:i+len(blankLine)])
	if err == nil {
		err = l.judge(a)
	}
	if err != nil {
		return false, err
	}

	c.partial = c.partial[:0]
	c.inBody, c.left, c.size = true, a.length, max(a.length, 0)
	c.chunked, c.chunks = a.length < 0, chunked{}
	rest := buf[i+len(blankLine):]
	switch {
	case c.chunked:
		return l.takeChunks(c, rest)
	case len(rest) == 0:
		return l.maybeEnd(c)
	}

	return l.took(c, int64(len(rest)), nil)
}

// judge compares a head with that of a right answer. How long a coded body is
// depends on the pieces in which it came to the encoder.
func (l *load) judge(a answerHead) error {
	size := int64(l.spec.Answer)
	switch {
	case a.coding != l.spec.Coding:
		return fmt.Errorf("an answer coded %q instead of %q", a.coding, l.spec.Coding)
	case a.coding == "" && a.length >= 0 && a.length != size, a.length > size:
		return fmt.Errorf("an answer of %d bytes instead of %d", a.length, size)
	}

	return nil
}

// takeChunks reads the received part of a chunked body.
func (l *load) takeChunks(c *clientConn, b []byte) (bool, error) {
	rest, err := c.chunks.take(b, func(b []byte) { c.size += int64(len(b)) })
	if err != nil || !c.chunks.over() {
		return false, err
	}
	if len(rest) > 0 {
		return false, fmt.Errorf("%d bytes after the answer", len(rest))
	}

	size := int64(l.spec.Answer)
	if l.spec.Coding == "" && c.size != size || c.size > size || c.size == 0 && size > 0 {
		return false, fmt.Errorf("an answer of %d bytes instead of %d", c.size, size)
	}

	c.chunked = false
	return l.maybeEnd(c)
}

func (l *load) maybeEnd(c *clientConn) (bool, error) {
	if c.left > 0 {
		return false, nil
	}
	if len(c.out)+len(c.tail) > 0 {
		return false, errors.New("an answer before the whole request was taken")
	}

	c.inBody = false
	l.content += c.size
	l.done++
	l.ever++
	l.times.record(time.Since(c.begun))
	if l.spec.NewEach {
		c.ended = true
		return false, nil
	}

	l.inFlight--
	return true, nil
}

// firstExchange sends one request without a session cookie, compares the whole
// answer with what the backend said, and returns the cookie it sets or, for a
// proxy that sets none, one of the same size.
func (l *load) firstExchange(c *clientConn) (string, error) {
	spec := l.spec
	spec.NewEach = false
	out := append(requestHead(l.host, spec, ""), tailOf(spec)...)
	if spec.Unique {
		l.putSerial(out) // an answer from memory would set no cookie
	}
	if err := sendAll(c.fd, out); err != nil {
		return "", err
	}

	head, got, err := readAnswer(c.fd, l.spec.Answer)
	if err != nil {
		return "", err
	}

	l.ever++
	if err := l.compare(head, got); err != nil {
		return "", err
	}
	if l.spec.NewEach && c.requests == nil {
		defer l.disconnect(c)
	}

	if v, ok := field(head, "set-cookie"); ok {
		pair, _, _ := bytes.Cut(v, []byte(";"))
		return string(pair), nil
	}

	return filler(l.spec.Filler), nil
}

// compare compares an answer with the one that the backend sent.
func (l *load) compare(head, got []byte) error {
	a, err := parseAnswer(head)
	if err == nil {
		err = l.judge(a)
	}
	if err == nil {
		got, err = decoded(a.coding, got)
	}
	if err != nil {
		return err
	}

	if !bytes.Equal(got, content{l.spec.Answer, l.spec.Listing}.bytes()) {
		return errors.New("the body differs from what the backend sent")
	}

	return nil
}
