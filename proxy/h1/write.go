package h1

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// write sends up to three pieces, in one system call where that is possible, and waits while the client does not take
// them, at most the stall timeout without any progress.
func (c *conn) write(pieces ...[]byte) error {
	var all [3][]byte
	copy(all[:], pieces)
	if c.fd >= 0 {
		c.prompt()
		n, errno := rawWrite(c.fd, &all)
		if errno != 0 && errno != syscall.EAGAIN {
			return errno
		}
		skip(&all, n)
	}
	if c.fd < 0 && c.raw != nil && len(all[1]) > 0 {
		return c.writeMany(all)
	}
	for _, p := range all {
		if err := c.writeAll(p); err != nil {
			return err
		}
	}
	return nil
}

// skip drops n bytes that were written.
func skip(pieces *[3][]byte, n int) {
	for i := range pieces {
		m := min(n, len(pieces[i]))
		pieces[i] = pieces[i][m:]
		n -= m
	}
}

// prompt sees to it that no piece but the first waits for the client to acknowledge what went before it.
func (c *conn) prompt() {
	if c.spoke && c.light != nil {
		c.light.poll()
		c.light = nil
	}
	c.spoke = true
}

// writeMany writes what is left of three pieces as one.
func (c *conn) writeMany(all [3][]byte) error {
	for len(all[0])+len(all[1])+len(all[2]) > 0 {
		var n int
		var errno syscall.Errno
		c.armWrite()
		err := c.raw.Write(func(fd uintptr) bool {
			n, errno = rawWrite(int(fd), &all)
			return errno != syscall.EAGAIN
		})
		switch {
		case err != nil:
			return err
		case errno != 0:
			return errno
		}
		skip(&all, n)
	}
	return nil
}

// writeAll writes one piece.
func (c *conn) writeAll(p []byte) error {
	for len(p) > 0 {
		c.armWrite()
		n, err := c.c.Write(p)
		p = p[n:]
		if err != nil && (n == 0 || c.tls != nil || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return err
		}
	}
	return nil
}

// armWrite gives the next write the stall timeout, and says when that is; zero is never.
func (c *conn) armWrite() (end time.Time) {
	if c.server.StallTimeout > 0 {
		end = time.Now().Add(c.server.StallTimeout)
		c.c.SetWriteDeadline(end)
	}
	return end
}
