//go:build linux && (amd64 || arm64)

package h1

import (
	"net"
	"syscall"
	"unsafe"
)

// Sockets of the runtime's poller are non-blocking, so these calls never wait and need not tell the scheduler that they
// might: entering and leaving a system call costs as much as a small read. They are the sockets' own calls, which skip what
// read and write do for files. On every other platform, and for anything but clear-text TCP, the same work is done by
// net.Conn's own methods.

// poller is the raw connection of a clear-text TCP socket, nil for any other.
func poller(c net.Conn) syscall.RawConn {
	switch c := c.(type) {
	case *socket:
		return c.raw()
	case *net.TCPConn:
		if raw, err := c.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}

// rawRead returns 0 and no error at the peer's orderly end.
func rawRead(fd int, p []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
		if errno != syscall.EINTR {
			return max(int(n), 0), errno
		}
	}
}

// rawWrite writes up to three pieces as one.
func rawWrite(fd int, pieces *[3][]byte) (int, syscall.Errno) {
	var iov [3]syscall.Iovec
	count := 0
	for _, p := range pieces {
		if len(p) > 0 {
			iov[count].Base = unsafe.SliceData(p)
			iov[count].SetLen(len(p))
			count++
		}
	}
	if count == 0 {
		return 0, 0
	}
	for {
		var n uintptr
		var errno syscall.Errno
		if count == 1 {
			n, _, errno = syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(iov[0].Base)), uintptr(iov[0].Len), syscall.MSG_NOSIGNAL, 0, 0)
		} else {
			n, _, errno = syscall.RawSyscall(syscall.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&iov[0])), uintptr(count))
		}
		if errno != syscall.EINTR {
			return max(int(n), 0), errno
		}
	}
}

// rawPeek asks without waiting.
func rawPeek(fd int) peek {
	var b [1]byte
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), 1,
			syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == syscall.EINTR:
		case errno == syscall.EAGAIN:
			return silent
		case errno != 0:
			return broken
		case n == 0:
			return finished
		default:
			return readable
		}
	}
}

// tcpEstablished is a state of a TCP socket, after Linux' include/net/tcp_states.h.
const tcpEstablished = 1

// tcpState is the state of a socket, 0 for anything but TCP.
func tcpState(fd int) byte {
	// The first byte of TCP_INFO is the state; this call is the one that reads four bytes in memory order.
	info, err := syscall.GetsockoptInet4Addr(fd, syscall.IPPROTO_TCP, syscall.TCP_INFO)
	if err != nil {
		return 0
	}
	return info[0]
}

// socketOpen says that neither side has ended the connection, as far as the platform tells.
func socketOpen(fd int) bool { state := tcpState(fd); return state == tcpEstablished || state == 0 }

// From Linux' include/uapi/linux/fcntl.h, and splice(2).
const (
	setPipeSize    = 1031
	spliceMove     = 1
	spliceNonblock = 2
)

// newPipe is nil when there is none to be had. The kernel may grant less than the size.
func newPipe(size int) *pipe {
	var fds [2]int
	if syscall.Pipe2(fds[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK) != nil {
		return nil
	}
	syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(fds[1]), setPipeSize, uintptr(size))
	return &pipe{r: fds[0], w: fds[1], size: int64(size)}
}

// fill takes up to limit bytes from a socket: 0 and no error at its peer's orderly end.
func (p *pipe) fill(fd int, limit int64) (int, syscall.Errno) {
	n, errno := rawSplice(fd, p.w, int(min(limit, p.size)))
	p.held += n
	return n, errno
}

// empty gives a socket as much as it takes.
func (p *pipe) empty(fd int) syscall.Errno {
	n, errno := rawSplice(p.r, fd, p.held)
	p.held -= n
	return errno
}

func (p *pipe) close() {
	syscall.Close(p.r)
	syscall.Close(p.w)
}

func rawSplice(from, to, limit int) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(limit), spliceMove|spliceNonblock)
		if errno != syscall.EINTR {
			return max(int(n), 0), errno
		}
	}
}
