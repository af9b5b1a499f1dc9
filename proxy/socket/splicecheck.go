package socket

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"syscall"
	"time"
)

const (
	checkSize  = 1 << 20  // bytes that the check moves in each round
	checkLarge = 1 << 20  // a socket buffer that takes much at once
	checkSmall = 16 << 10 // a socket buffer that makes every large write partial
	checkTime  = 2 * time.Second
)

var (
	errCheckTooSlow = errors.New("the check of splice took too long")
	errWrongBytes   = errors.New("splice delivered wrong bytes")
	errGVisor       = errors.New("splice is not used under gVisor")
)

// checkSplice moves a known pattern from one TCP connection through a pipe into
// another, and compares every byte that arrives. In one round, the sockets take
// much in one call, because gVisor of 2022 is right up to 64 KiB. In the other
// round, reads and writes are partial, as for a slow client.
func checkSplice() error {
	if underGVisor() {
		return errGVisor
	}

	for _, buffer := range []int{checkLarge, checkSmall} {
		if err := checkRound(buffer); err != nil {
			return fmt.Errorf("check splice with a buffer of %d bytes: %w", buffer, err)
		}
	}

	return nil
}

func checkRound(buffer int) error {
	var c spliceCheck
	defer c.close()
	if err := c.prepare(buffer); err != nil {
		return err
	}

	return c.run(time.Now().Add(checkTime))
}

// spliceCheck is the path of the pattern: sent on source, spliced from in to
// the pipe and from the pipe to out, received on target.
type spliceCheck struct {
	conns                   []net.Conn
	source, in, out, target int // descriptors
	pipe                    *Pipe

	unsent   []byte
	expected []byte
	received []byte // room for what one read takes
	steps    int
	arrived  bool // the bytes that were sent can be read
}

// prepare opens the sockets and the pipe. buffer is the size of the socket
// buffer that is spliced to.
func (c *spliceCheck) prepare(buffer int) (err error) {
	if c.source, c.in, err = c.pair(); err != nil {
		return err
	}
	if c.out, c.target, err = c.pair(); err != nil {
		return err
	}

	c.conns[1].(*net.TCPConn).SetReadBuffer(checkLarge)
	c.conns[2].(*net.TCPConn).SetWriteBuffer(buffer)
	if c.pipe = newPipe(bodyPipe, nil); c.pipe == nil {
		return syscall.EMFILE // the usual reason
	}

	pattern := make([]byte, checkSize)
	rand.NewChaCha8([32]byte{}).Read(pattern)
	c.unsent, c.expected = pattern, pattern
	c.received = make([]byte, 10_007)

	return nil
}

// pair opens a connection over loopback and returns the descriptors of its two
// ends.
func (c *spliceCheck) pair() (near, far int, err error) {
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		return 0, 0, err
	}
	defer l.Close()

	dialled, err := net.DialTimeout("tcp", l.Addr().String(), checkTime)
	if err != nil {
		return 0, 0, err
	}

	c.conns = append(c.conns, dialled)

	// Another program may connect to the port at the same time. Its connection
	// is closed.
	l.(*net.TCPListener).SetDeadline(time.Now().Add(checkTime))
	for {
		accepted, err := l.Accept()
		if err != nil {
			return 0, 0, err
		}

		if accepted.RemoteAddr().String() == dialled.LocalAddr().String() {
			c.conns = append(c.conns, accepted)
			break
		}

		accepted.Close()
	}

	if near, err = descriptor(dialled); err != nil {
		return 0, 0, err
	}

	far, err = descriptor(c.conns[len(c.conns)-1])
	return near, far, err
}

// descriptor is valid until the connection is closed.
func descriptor(c net.Conn) (fd int, err error) {
	raw := Raw(c)
	if raw == nil {
		return 0, syscall.ENOSYS
	}

	err = raw.Control(func(n uintptr) { fd = int(n) })

	return fd, err
}

func (c *spliceCheck) close() {
	for _, conn := range c.conns {
		conn.Close()
	}
	if c.pipe != nil {
		c.pipe.close()
	}
}

// run moves the whole pattern. It reads from the target only if nothing else
// can go on, so the buffers before it are full and the pipe is drained in
// parts.
func (c *spliceCheck) run(deadline time.Time) error {
	for len(c.expected) > 0 {
		moved, err := c.forward()
		if err == nil && !moved {
			moved, err = c.compare()
		}

		switch {
		case err != nil:
			return err
		case moved:
		case time.Now().After(deadline):
			return errCheckTooSlow
		default:
			time.Sleep(50 * time.Microsecond)
		}
	}

	return nil
}

// forward sends, fills the pipe or drains it, as far as possible without
// waiting. It fills the pipe only when the connection takes no more, so that
// one splice finds much.
func (c *spliceCheck) forward() (moved bool, _ error) {
	n, errno := Send(c.source, &[3][]byte{c.unsent})
	switch {
	case errno != 0 && errno != syscall.EAGAIN:
		return false, errno
	case n > 0:
		c.unsent, c.arrived = c.unsent[n:], false
		return true, nil
	case !c.arrived:
		c.arrived = true
		return false, nil // what was sent may take a moment
	case c.pipe.held > 0:
		return c.splice(c.pipe.r, c.out, c.pipe.held, -1)
	}

	c.steps++
	c.arrived = false
	return c.splice(c.in, c.pipe.w, c.limit(), +1)
}

// splice moves up to limit bytes into the pipe, or out of it with sign -1.
func (c *spliceCheck) splice(from, to, limit, sign int) (moved bool, _ error) {
	n, errno := splice(from, to, limit)
	switch {
	case errno == syscall.EAGAIN:
		return false, nil
	case errno != 0:
		return false, errno
	case n == 0, n > limit:
		return false, errWrongBytes
	}

	c.pipe.held += sign * n
	return true, nil
}

// checkFill is more than a pipe takes at once. No body asks for as much, so the
// calls of the check can be told from those of bodies.
const checkFill = 2 * bodyPipe

// limit returns how many bytes the next splice may take: all, and an odd
// number, in turns.
func (c *spliceCheck) limit() int {
	if c.steps%2 == 0 {
		return checkFill
	}
	return 1 + c.steps*7919%checkSmall
}

// compare receives some bytes and compares them with the pattern.
func (c *spliceCheck) compare() (moved bool, _ error) {
	n, errno := Recv(c.target, c.received)
	switch {
	case errno == syscall.EAGAIN:
		return false, nil
	case errno != 0:
		return false, errno
	case n == 0:
		return false, io.ErrUnexpectedEOF
	case n > len(c.expected), !bytes.Equal(c.received[:n], c.expected[:n]):
		return false, errWrongBytes
	}

	c.expected = c.expected[n:]
	return true, nil
}
