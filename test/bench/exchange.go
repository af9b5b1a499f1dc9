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
	if c.inBody && c.left > int64(len(l.scratch))/4 {
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
	if err != nil || m == 0 || c.inBody {
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
	size, err := parseAnswer(buf[:i+len(blankLine)])
	if err != nil {
		return false, err
	}
	if size != l.wanted() {
		return false, fmt.Errorf("an answer of %d bytes instead of %d", size, l.wanted())
	}
	c.partial = c.partial[:0]
	c.inBody, c.left = true, size
	rest := int64(len(buf) - i - len(blankLine))
	if rest == 0 {
		return l.maybeEnd(c)
	}
	return l.took(c, rest, nil)
}

// wanted is the length of every right answer.
func (l *load) wanted() int64 { return int64(l.spec.Answer) }

func (l *load) maybeEnd(c *clientConn) (bool, error) {
	if c.left > 0 {
		return false, nil
	}
	if len(c.out)+len(c.tail) > 0 {
		return false, errors.New("an answer before the whole request was taken")
	}
	c.inBody = false
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
	if err := sendAll(c.fd, out); err != nil {
		return "", err
	}
	head, got, err := readAnswer(c.fd, l.spec.Answer)
	if err != nil {
		return "", err
	}
	l.ever++
	if !bytes.Equal(got, body(l.spec.Answer)) {
		return "", errors.New("the body differs from what the backend sent")
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
