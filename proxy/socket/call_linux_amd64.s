#include "textflag.h"

// See call_linux_amd64.go. The number of the call has to be the instruction
// right before SYSCALL.

// func recvfrom(fd int, p unsafe.Pointer, n, flags int) int
TEXT ·recvfrom(SB), NOSPLIT, $0-40
	MOVQ fd+0(FP), DI
	MOVQ p+8(FP), SI
	MOVQ n+16(FP), DX
	MOVQ flags+24(FP), R10
	XORL R8, R8
	XORL R9, R9
	MOVL $45, AX
	SYSCALL
	MOVQ AX, ret+32(FP)
	RET

// func sendto(fd int, p unsafe.Pointer, n, flags int) int
TEXT ·sendto(SB), NOSPLIT, $0-40
	MOVQ fd+0(FP), DI
	MOVQ p+8(FP), SI
	MOVQ n+16(FP), DX
	MOVQ flags+24(FP), R10
	XORL R8, R8
	XORL R9, R9
	MOVL $44, AX
	SYSCALL
	MOVQ AX, ret+32(FP)
	RET

// func writev(fd int, iov unsafe.Pointer, n int) int
TEXT ·writev(SB), NOSPLIT, $0-32
	MOVQ fd+0(FP), DI
	MOVQ iov+8(FP), SI
	MOVQ n+16(FP), DX
	MOVL $20, AX
	SYSCALL
	MOVQ AX, ret+24(FP)
	RET
