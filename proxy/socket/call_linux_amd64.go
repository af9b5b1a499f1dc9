package socket

import "unsafe"

// These are the calls that each request makes: recvfrom(2), sendto(2) and
// writev(2), without an address. They do what syscall.RawSyscall does. The
// scheduler is not told of them, because none of them waits.
//
// They are in assembly because of gVisor, the sandbox of Cloud Run's first
// generation. There, a system call is a signal, which costs several
// microseconds, unless the program has its number in the instruction before
// the call, as the C library has. gVisor replaces such a pair of instructions
// by a jump (its package usertrap). The functions of package syscall take the
// number as an argument.
//
// The result is the kernel's: a negative one is the error.

//go:noescape
func recvfrom(fd int, p unsafe.Pointer, n, flags int) int

//go:noescape
func sendto(fd int, p unsafe.Pointer, n, flags int) int

//go:noescape
func writev(fd int, iov unsafe.Pointer, n int) int
