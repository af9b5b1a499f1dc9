//go:build linux

package main

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// send writes without blocking and without raising SIGPIPE. The load
// generator and the backends call the kernel directly, because a goroutine and
// a netpoll round per message would cost more than the proxies under test.
func send(fd int, b []byte) (int, error) {
	n, _, errno := syscall.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))),
		uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return result(n, errno)
}

// receive reads the available bytes without blocking.
func receive(fd int, b []byte) (int, error) {
	return receiveFlags(fd, b, 0)
}

// discard takes up to len(b) bytes off a TCP socket without copying them.
func discard(fd int, b []byte) (int, error) {
	return receiveFlags(fd, b, unix.MSG_TRUNC)
}

func receiveFlags(fd int, b []byte, flags uintptr) (int, error) {
	n, _, errno := syscall.Syscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))),
		uintptr(len(b)), unix.MSG_DONTWAIT|flags, 0, 0)
	return result(n, errno)
}

func result(n uintptr, errno syscall.Errno) (int, error) {
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// again reports whether the socket would have blocked.
func again(err error) bool {
	return err == unix.EAGAIN || err == unix.EINTR
}

// plainTCP sends at once and with the congestion control that most kernels
// default to, also where another, say one that paces, is the default.
func plainTCP(fd int) {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	_ = unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, "cubic")
}

// poller is a level-triggered epoll instance whose events carry descriptors.
type poller struct {
	fd     int
	events []unix.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &poller{fd: fd, events: make([]unix.EpollEvent, 512)}, nil
}

func (p *poller) add(fd int) error {
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

// watch sets whether the poller also reports that the socket is writable.
func (p *poller) watch(fd int, writable bool) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	if writable {
		ev.Events |= unix.EPOLLOUT
	}
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_MOD, fd, &ev)
}

// wait returns the events that are ready; timeout is in milliseconds, -1 for
// none. The runtime's own signals interrupt it, which is no event.
func (p *poller) wait(timeout int) ([]unix.EpollEvent, error) {
	for {
		n, err := unix.EpollWait(p.fd, p.events, timeout)
		if err == unix.EINTR {
			continue
		}
		return p.events[:max(n, 0)], err
	}
}

func (p *poller) close() error { return unix.Close(p.fd) }
