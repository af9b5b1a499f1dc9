//go:build linux && (amd64 || arm64)

package socket

import (
	"net"
	"syscall"
	"unsafe"
)

// Sockets of the runtime's poller are non-blocking, so these calls never wait.
// The scheduler is not told of them, because entering and leaving a system call
// costs as much as a small read. They are the socket calls, which skip what
// read and write do for files. On other platforms, and for anything but
// clear-text TCP, net.Conn's own methods do the same work.

// Raw returns the raw connection of a clear-text TCP socket, or nil.
func Raw(c net.Conn) syscall.RawConn {
	switch c := c.(type) {
	case *Conn:
		return c.raw()
	case *net.TCPConn:
		if raw, err := c.SyscallConn(); err == nil {
			return raw
		}
	}

	return nil
}

// errorOf returns the error of a call, or 0.
func errorOf(n int) syscall.Errno { return syscall.Errno(max(0, -n)) }

// Recv reads. It returns 0 and no error when the peer has ended.
func Recv(fd int, p []byte) (int, syscall.Errno) {
	for {
		n := recvfrom(fd, unsafe.Pointer(unsafe.SliceData(p)), len(p), 0)
		if errno := errorOf(n); errno != syscall.EINTR {
			return max(n, 0), errno
		}
	}
}

// Send writes up to three pieces as one.
func Send(fd int, pieces *[3][]byte) (int, syscall.Errno) {
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
		n := 0
		if count == 1 {
			n = sendto(fd, unsafe.Pointer(iov[0].Base), int(iov[0].Len), syscall.MSG_NOSIGNAL)
		} else {
			n = writev(fd, unsafe.Pointer(&iov[0]), count)
		}

		if errno := errorOf(n); errno != syscall.EINTR {
			return max(n, 0), errno
		}
	}
}

// Peek returns what a read would find, without waiting.
func Peek(fd int) Readiness {
	var b [1]byte
	for {
		n := recvfrom(fd, unsafe.Pointer(&b[0]), 1, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch errno := errorOf(n); {
		case errno == syscall.EINTR:
		case errno == syscall.EAGAIN:
			return Silent
		case errno != 0:
			return Broken
		case n == 0:
			return Finished
		default:
			return Readable
		}
	}
}

// States of a TCP socket, after Linux' include/net/tcp_states.h.
const (
	tcpEstablished = 1
	tcpCloseWait   = 8 // the peer has ended its direction
)

// tcpState returns the state of a socket, or 0 if it is not TCP.
func tcpState(fd int) byte {
	// The state is the first byte of TCP_INFO. This call reads four bytes in
	// memory order.
	info, err := syscall.GetsockoptInet4Addr(fd, syscall.IPPROTO_TCP, syscall.TCP_INFO)
	if err != nil {
		return 0
	}
	return info[0]
}

// Open reports whether both sides may still send, as far as the platform tells.
func Open(fd int) bool { state := tcpState(fd); return state == tcpEstablished || state == 0 }

// HalfOpen reports whether only the peer has ended its direction.
func HalfOpen(fd int) bool { return tcpState(fd) == tcpCloseWait }

// From Linux' include/uapi/linux/fcntl.h, and splice(2).
const (
	setPipeSize    = 1031
	spliceMove     = 1
	spliceNonblock = 2
)

// newPipe returns a pipe, or nil. The kernel may grant less than the size.
func newPipe(size int, known *splicing) *Pipe {
	var fds [2]int
	if syscall.Pipe2(fds[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK) != nil {
		return nil
	}

	syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(fds[1]), setPipeSize, uintptr(size))

	return &Pipe{r: fds[0], w: fds[1], size: int64(size), splicing: known}
}

func (p *Pipe) close() {
	syscall.Close(p.r)
	syscall.Close(p.w)
}

// splice moves up to limit bytes between a pipe and a socket without waiting.
func splice(from, to, limit int) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(
			syscall.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(limit),
			spliceMove|spliceNonblock,
		)
		if errno != syscall.EINTR {
			return max(int(n), 0), errno
		}
	}
}
