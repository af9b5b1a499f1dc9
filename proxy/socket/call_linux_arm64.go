package socket

import (
	"syscall"
	"unsafe"
)

// The calls of call_linux_amd64.go. gVisor replaces no calls here.

func recvfrom(fd int, p unsafe.Pointer, n, flags int) int {
	return call(syscall.SYS_RECVFROM, uintptr(fd), uintptr(p), uintptr(n), uintptr(flags))
}

func sendto(fd int, p unsafe.Pointer, n, flags int) int {
	return call(syscall.SYS_SENDTO, uintptr(fd), uintptr(p), uintptr(n), uintptr(flags))
}

func writev(fd int, iov unsafe.Pointer, n int) int {
	return call(syscall.SYS_WRITEV, uintptr(fd), uintptr(iov), uintptr(n), 0)
}

//go:uintptrescapes
func call(number, a, b, c, d uintptr) int {
	n, _, errno := syscall.RawSyscall6(number, a, b, c, d, 0, 0)
	if errno != 0 {
		return -int(errno)
	}

	return int(n)
}
