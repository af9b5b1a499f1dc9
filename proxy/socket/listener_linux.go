//go:build linux && (amd64 || arm64)

package socket

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

// lazyListener accepts connections that the runtime's poller does not know yet.
type lazyListener struct {
	file *os.File
	raw  syscall.RawConn
	addr net.Addr
}

// LazyListener takes over a clear-text TCP listener. It registers accepted
// connections with the poller only when they have to wait. A connection that
// sends a request at once and ends with the answer costs none of the system
// calls with which package net prepares a connection. Keep-alive probes are
// off. Any other listener is returned as it is.
func LazyListener(l net.Listener) net.Listener {
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

	raw.Control(func(fd uintptr) { deferAccept(fd, deferSeconds) })
	light := &lazyListener{file, raw, tcp.Addr()}
	tcp.Close() // the file keeps the socket open

	return light
}

// deferSeconds is how long the kernel keeps a connection that has sent nothing.
const deferSeconds = 1

// deferAccept turns the accept of a connection and its first bytes into one
// event. A client that sends nothing is accepted later, when it has
// acknowledged the handshake again.
func deferAccept(fd uintptr, seconds int) {
	syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_DEFER_ACCEPT, seconds)
}

// AcceptAtOnce ends that, because a server that is about to close its listener
// must know who is connected.
func (l *lazyListener) AcceptAtOnce() { l.raw.Control(func(fd uintptr) { deferAccept(fd, 0) }) }

// Accept waits for a connection. A lack of descriptors is an error only while a
// client waits.
func (l *lazyListener) Accept() (net.Conn, error) {
	s := &Conn{fd: -1}
	var errno syscall.Errno
	err := l.raw.Read(func(fd uintptr) bool {
		errno = s.accept(fd)
		return errno == 0 || errno != syscall.EAGAIN && (!Exhausted(errno) || clientWaits(fd))
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
func (l *lazyListener) Close() error { return l.file.Close() }

// SyscallConn returns the listening socket itself.
func (l *lazyListener) SyscallConn() (syscall.RawConn, error) { return l.raw, nil }

// Addr is where it listens.
func (l *lazyListener) Addr() net.Addr { return l.addr }

// accept does not wait, so it does not tell the scheduler about the system
// call: that alone would wake the runtime's monitor at each connection of an
// idle server.
func (s *Conn) accept(listener uintptr) syscall.Errno {
	var from syscall.RawSockaddrAny
	for {
		size := uint32(syscall.SizeofSockaddrAny)
		fd, _, errno := syscall.RawSyscall6(
			syscall.SYS_ACCEPT4, listener, uintptr(unsafe.Pointer(&from)),
			uintptr(unsafe.Pointer(&size)), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0, 0,
		)
		switch errno {
		case syscall.EINTR, syscall.ECONNABORTED: // try the next connection
		case 0:
			s.fd, s.remote = int(fd), addrPort(&from)
			return 0
		default:
			return errno
		}
	}
}

// addrPort converts an address of the kernel.
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
