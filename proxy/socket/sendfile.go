package socket

import (
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// FileSender sends files with sendfile(2), without copying them to user space.
// The zero value is ready. Safe for concurrent use.
type FileSender struct {
	refused atomic.Bool // the kernel or a sandbox has refused sendfile(2)
	known   atomic.Bool // it was checked whether the kernel is gVisor
}

// Usable reports whether sendfile(2) may be used: until the kernel has refused
// it once, and never under gVisor.
func (s *FileSender) Usable() bool {
	if !s.known.Load() {
		if underGVisor() {
			s.refused.Store(true)
		}
		s.known.Store(true)
	}
	return !s.refused.Load()
}

// Send sends n bytes of a file from an offset on, and waits while the socket
// does not accept them. It calls arm to set a time limit, and again after each
// progress. After ErrCopy, the rest was not sent and has to be copied. If it
// returns fewer bytes without an error, the file has no more.
func (s *FileSender) Send(
	to syscall.RawConn, file *os.File, at, n int64, arm func() time.Time,
) (sent int64, err error) {
	source, err := file.SyscallConn()
	if err != nil {
		return 0, err
	}

	var errno syscall.Errno
	ended := false
	move := func(from uintptr) {
		for sent < n && err == nil && errno == 0 && !ended {
			before := sent
			arm()
			err = to.Write(func(fd uintptr) bool {
				for errno = 0; sent < n && errno == 0 && !ended; {
					var m int
					m, errno = sendFile(int(fd), int(from), at+sent, n-sent)
					sent += int64(m)
					ended = m == 0 && errno == 0
					if m > 0 && sent < n && !hasRoom(int(fd)) {
						errno = syscall.EAGAIN // many small steps cost more
					}
				}
				return errno != syscall.EAGAIN
			})
			if sent > before && errors.Is(err, os.ErrDeadlineExceeded) {
				err, errno = nil, 0
			}
		}
	}
	if control := source.Control(move); control != nil {
		return sent, control
	}

	switch {
	case err != nil:
		return sent, err
	case errno == 0:
		return sent, nil
	case ofConnection(errno):
		return sent, errno
	}
	s.refused.Store(true)
	return sent, ErrCopy
}
