//go:build linux && (amd64 || arm64)

package socket

import (
	"syscall"
	"time"
	"unsafe"
)

// tcpInfo is the beginning of struct tcp_info of Linux'
// include/uapi/linux/tcp.h, up to the field that is needed (Linux 4.1).
type tcpInfo struct {
	state      uint8
	_          [67]byte
	rtt        uint32 // in microseconds
	_          [48]byte
	bytesAcked uint64
}

const tcpClose = 7 // both directions have ended, in order or by a reset

// DeliveryOf returns what TCP knows about the bytes that were written to a
// socket. It returns the zero value if the socket is not TCP or the kernel does
// not tell.
func DeliveryOf(fd int) Delivery {
	var info tcpInfo
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := syscall.RawSyscall6(syscall.SYS_GETSOCKOPT,
		uintptr(fd), syscall.IPPROTO_TCP, syscall.TCP_INFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 || uintptr(size) < unsafe.Sizeof(info) || info.bytesAcked == 0 {
		return Delivery{}
	}

	// The handshake was acknowledged like one byte.
	return Delivery{
		Counted:      true,
		Acknowledged: int64(info.bytesAcked) - 1,
		Finished:     info.state == tcpCloseWait || info.state == tcpClose,
		Closed:       info.state == tcpClose,
		RoundTrip:    time.Duration(info.rtt) * time.Microsecond,
	}
}
