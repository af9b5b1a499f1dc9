//go:build linux && (amd64 || arm64)

package socket

import (
	"net"
	"syscall"
	"time"
	"unsafe"
)

// waitingListener is the listener that WaitingListener returns.
type waitingListener struct {
	*net.TCPListener
	raw syscall.RawConn
}

// WaitingListener makes Accept fail for a lack of descriptors only while a
// client waits for one. The kernel reports the lack before it looks whether
// there is a client. The listener of LazyListener does the same.
func WaitingListener(l net.Listener) net.Listener {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return l
	}

	raw, err := tcp.SyscallConn()
	if err != nil {
		return l
	}

	return &waitingListener{tcp, raw}
}

// fullPause is the pause between two looks for a client while there is no
// descriptor. Package net does not let its listeners wait for one.
const fullPause = 20 * time.Millisecond

// Accept waits for a connection.
func (l *waitingListener) Accept() (net.Conn, error) {
	for {
		c, err := l.TCPListener.Accept()
		if err == nil || !Exhausted(err) {
			return c, err
		}

		waits := true
		l.raw.Control(func(fd uintptr) { waits = clientWaits(fd) })
		if waits {
			return nil, err
		}
		time.Sleep(fullPause)
	}
}

// pollIn is POLLIN, and pollFD is struct pollfd, of Linux' asm-generic/poll.h.
const pollIn = 1

type pollFD struct {
	fd              int32
	events, revents int16
}

// clientWaits reports whether a listening socket has a connection to accept. If
// the platform does not tell, it reports true.
func clientWaits(listener uintptr) bool {
	p, atOnce := pollFD{fd: int32(listener), events: pollIn}, syscall.Timespec{}
	n, _, errno := syscall.RawSyscall6(
		syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&atOnce)), 0, 0, 0,
	)
	return errno != 0 || n != 0
}
