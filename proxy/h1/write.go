package h1

import (
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// write sends up to three pieces, in one system call if possible. It waits
// while the client does not take them, at most for the stall timeout without
// progress.
func (c *conn) write(pieces ...[]byte) error {
	var all [3][]byte
	copy(all[:], pieces)
	if c.fd >= 0 {
		c.prompt()
		n, errno := socket.Send(c.fd, &all)
		if errno != 0 && errno != syscall.EAGAIN {
			return errno
		}

		skip(&all, n)
		if len(all[0])+len(all[1])+len(all[2]) == 0 {
			return nil
		}
	}

	return c.writeSlowly(all)
}

// writeSlowly writes what may have to wait for the client. It takes memory from
// the budget for what is kept meanwhile.
func (c *conn) writeSlowly(all [3][]byte) error {
	if !c.server.Budget.Take(stalledMemory, socket.Needed) {
		c.server.Budget.Count(socket.CutStalled, 1)
		return wire.ErrShort
	}
	defer c.server.Budget.Give(stalledMemory)
	defer c.awaits.write.Store(0)

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

// prompt turns on TCP_NODELAY, so that later pieces don't wait for the client's
// acknowledgement of the first.
func (c *conn) prompt() {
	if c.spoke && c.light != nil {
		c.light.Poll()
		c.light = nil
	}
	c.spoke = true
}

// writeMany writes the rest of three pieces together.
func (c *conn) writeMany(all [3][]byte) error {
	for len(all[0])+len(all[1])+len(all[2]) > 0 {
		var n int
		var errno syscall.Errno
		c.armWrite()

		err := c.raw.Write(func(fd uintptr) bool {
			n, errno = socket.Send(int(fd), &all)
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

// armWrite gives the next write the stall timeout, and returns when that is;
// zero is never. From then on, the connection waits for its client.
func (c *conn) armWrite() (end time.Time) {
	now := time.Now()
	c.awaits.write.Store(now.UnixNano())
	if c.server.StallTimeout > 0 {
		end = now.Add(c.server.StallTimeout)
		c.c.SetWriteDeadline(end)
	}

	return end
}
