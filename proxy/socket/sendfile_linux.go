package socket

import (
	"syscall"
	"unsafe"
)

// sendFile moves up to n bytes of a file to a socket. The scheduler is told of
// the system call, because it may wait for a disk.
func sendFile(to, from int, at, n int64) (int, syscall.Errno) {
	const most = 1 << 30 // the kernel moves less at a time in any case
	for {
		m, err := syscall.Sendfile(to, from, &at, int(min(n, most)))
		if err == nil {
			return m, 0
		}
		if errno, ok := err.(syscall.Errno); !ok || errno != syscall.EINTR {
			return 0, errno
		}
	}
}

// hasRoom reports whether a good part of a socket's buffer is free: a third of
// it, by the rule of poll(2). If it is not, the poller reports when it is.
func hasRoom(fd int) bool {
	const pollOut = 4 // POLLOUT, from Linux' include/uapi/asm-generic/poll.h
	p := struct {
		fd              int32
		events, revents int16
	}{int32(fd), pollOut, 0}
	var now syscall.Timespec
	n, _, errno := syscall.RawSyscall6(
		syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0,
	)
	return errno != 0 || n != 0
}
