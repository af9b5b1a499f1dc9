//go:build linux && (amd64 || arm64)

package h1

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

// listener accepts connections that the runtime's poller does not know yet.
type listener struct {
	file *os.File
	raw  syscall.RawConn
	addr net.Addr
}

// Lightly takes over a clear-text TCP listener and makes its connections cheaper while they are young: one that sends a
// request at once and ends with the answer is never known to the runtime's poller, and costs none of the calls with which
// package net prepares a connection for a long life. The kernel does not probe them. Any other listener is returned as it is.
func Lightly(l net.Listener) net.Listener {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return l
	}
	file, err := tcp.File()
	if err != nil {
		return l
	}
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return l
	}
	raw.Control(func(fd uintptr) { deferAccept(fd, silence) })
	light := &listener{file, raw, tcp.Addr()}
	tcp.Close() // what listens lives on in the file
	return light
}

// silence is for how many seconds the kernel keeps a connection to itself on which nothing was sent yet.
const silence = 1

// deferAccept makes a connection and its first bytes one event instead of two. A client that says nothing is accepted when
// it has acknowledged our side of the handshake once more.
func deferAccept(fd uintptr, seconds int) {
	syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_DEFER_ACCEPT, seconds)
}

// hasten ends that: a server that is about to close its listener must know who is connected.
func (l *listener) hasten() { l.raw.Control(func(fd uintptr) { deferAccept(fd, 0) }) }

// Accept waits for a connection.
func (l *listener) Accept() (net.Conn, error) {
	s := &socket{fd: -1}
	var errno syscall.Errno
	err := l.raw.Read(func(fd uintptr) bool {
		errno = s.accept(fd)
		return errno != syscall.EAGAIN
	})
	if err == nil && errno != 0 {
		err = os.NewSyscallError("accept4", errno)
	}
	if err != nil {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.addr, Err: err}
	}
	return s, nil
}

// Close ends Accept.
func (l *listener) Close() error { return l.file.Close() }

// Addr is where it listens.
func (l *listener) Addr() net.Addr { return l.addr }

// accept does not wait. Its call does not tell the scheduler that it might: that alone would wake the runtime's monitor
// at each connection of a server that was idle for a moment.
func (s *socket) accept(listener uintptr) syscall.Errno {
	var from syscall.RawSockaddrAny
	for {
		size := uint32(syscall.SizeofSockaddrAny)
		fd, _, errno := syscall.RawSyscall6(syscall.SYS_ACCEPT4, listener, uintptr(unsafe.Pointer(&from)),
			uintptr(unsafe.Pointer(&size)), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0, 0)
		switch errno {
		case syscall.EINTR, syscall.ECONNABORTED: // that one is gone; there may be another
		case 0:
			s.fd, s.remote = int(fd), addrPort(&from)
			return 0
		default:
			return errno
		}
	}
}

// addrPort reads an address as the kernel writes it.
func addrPort(a *syscall.RawSockaddrAny) netip.AddrPort {
	switch a.Addr.Family {
	case syscall.AF_INET:
		in := (*syscall.RawSockaddrInet4)(unsafe.Pointer(a))
		return netip.AddrPortFrom(netip.AddrFrom4(in.Addr), hostOrder(in.Port))
	case syscall.AF_INET6:
		in := (*syscall.RawSockaddrInet6)(unsafe.Pointer(a))
		addr := netip.AddrFrom16(in.Addr).Unmap()
		if in.Scope_id != 0 {
			addr = addr.WithZone(strconv.Itoa(int(in.Scope_id)))
		}
		return netip.AddrPortFrom(addr, hostOrder(in.Port))
	}
	return netip.AddrPort{}
}

func hostOrder(port uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], port)
	return binary.BigEndian.Uint16(b[:])
}
