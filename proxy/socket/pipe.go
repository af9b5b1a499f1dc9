package socket

import (
	"errors"
	"io"
	"os"
	"runtime"
	"syscall"
	"time"
)

// ErrCopy means that the next bytes have to be copied: there is no pipe, or the
// kernel refuses to splice. None of them was moved.
var ErrCopy = errors.New("bytes have to be copied")

// Pipe holds what splice(2) has taken from one socket until the other socket
// takes it.
type Pipe struct {
	r, w    int
	size    int64           // how many bytes it should hold
	held    int             // bytes
	cleanup runtime.Cleanup // closes a pipe that was not given back

	splicing *splicing // what is known about splice(2)
	copies   bool      // the kernel refused to splice, so the bytes held are copied
	taken    []byte    // bytes that were read out of the pipe to be copied; they count as held
}

// fillNow takes up to limit bytes from a socket without waiting. The error is
// io.EOF if the peer has ended, EAGAIN if there are no bytes, and ErrCopy if
// the kernel refuses.
func (p *Pipe) fillNow(fd int, limit int64) (int, error) {
	if p.copies {
		return 0, ErrCopy
	}

	n, errno := splice(fd, p.w, int(min(limit, p.size)))
	switch {
	case errno == syscall.EAGAIN:
		return 0, syscall.EAGAIN
	case errno != 0 && ofConnection(errno):
		return 0, errno
	case errno != 0:
		p.splicing.refuse(errno)
		return 0, ErrCopy
	case n == 0:
		return 0, io.EOF
	}

	p.held += n
	return n, nil
}

// drainNow writes to a socket as much as possible without waiting. If the
// kernel refuses to splice out of the pipe, the bytes are copied, because they
// are nowhere else.
func (p *Pipe) drainNow(fd int) syscall.Errno {
	if p.copies {
		return p.copyNow(fd)
	}

	n, errno := splice(p.r, fd, p.held)
	switch {
	case errno == syscall.EAGAIN, errno != 0 && ofConnection(errno):
		return errno
	case errno != 0:
		p.splicing.refuse(errno)
		p.copies = true
		return p.copyNow(fd)
	case n == 0:
		return syscall.EIO // the kernel has lost bytes
	}

	p.held -= n
	return 0
}

// copyNow does what drainNow does by a read and a write.
func (p *Pipe) copyNow(fd int) syscall.Errno {
	if len(p.taken) == 0 {
		chunk := make([]byte, min(p.held, smallBuffer))
		n, err := syscall.Read(p.r, chunk)
		if err != nil || n <= 0 {
			return syscall.EIO // the kernel has lost bytes
		}
		p.taken = chunk[:n]
	}

	n, errno := Send(fd, &[3][]byte{p.taken})
	p.taken = p.taken[n:]
	p.held -= n

	return errno
}

// drain waits until a socket has taken all that the pipe holds, and returns how
// many bytes that were. It calls arm to set a time limit, and again after each
// progress.
func (p *Pipe) drain(to syscall.RawConn, arm func() time.Time) (n int64, err error) {
	var errno syscall.Errno
	for p.held > 0 && err == nil {
		before := p.held
		arm()
		err = to.Write(func(fd uintptr) bool {
			for errno = 0; p.held > 0 && errno == 0; {
				errno = p.drainNow(int(fd))
			}
			return errno != syscall.EAGAIN
		})
		n += int64(before - p.held)
		if err == nil {
			err = failure(errno)
		} else if p.held < before && errors.Is(err, os.ErrDeadlineExceeded) {
			err = nil
		}
	}

	return n, err
}
