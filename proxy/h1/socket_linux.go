//go:build linux && (amd64 || arm64)

package h1

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// socket is an accepted TCP connection. It begins as a bare descriptor, which its owner tries to use in the callback of
// its SyscallConn's Read. The poller gets to know it when that callback has to wait, and at any call for which net.Conn
// may wait or keep a deadline. Only its owner closes it while it is bare.
type socket struct {
	remote netip.AddrPort

	mu     sync.Mutex // also held while another goroutine looks at a bare descriptor, so that it is not closed meanwhile
	fd     int        // -1 unless bare
	polled *os.File   // nil while bare
}

// poll makes the connection known to the poller, and each of its writes leave at once. Once it is closed there is nothing
// to make known: a nil file fails at every call.
func (s *socket) poll() *os.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.polled != nil || s.fd < 0 {
		return s.polled
	}
	on := int32(1)
	syscall.RawSyscall6(syscall.SYS_SETSOCKOPT, uintptr(s.fd), syscall.IPPROTO_TCP, syscall.TCP_NODELAY,
		uintptr(unsafe.Pointer(&on)), unsafe.Sizeof(on), 0)
	s.polled, s.fd = os.NewFile(uintptr(s.fd), "client"), -1
	return s.polled
}

// Read waits for bytes.
func (s *socket) Read(p []byte) (int, error) { return s.poll().Read(p) }

// Write waits until everything is written.
func (s *socket) Write(p []byte) (int, error) { return s.poll().Write(p) }

// SetDeadline is as in net.Conn.
func (s *socket) SetDeadline(t time.Time) error { return s.poll().SetDeadline(t) }

// SetReadDeadline is as in net.Conn.
func (s *socket) SetReadDeadline(t time.Time) error { return s.poll().SetReadDeadline(t) }

// SetWriteDeadline is as in net.Conn.
func (s *socket) SetWriteDeadline(t time.Time) error { return s.poll().SetWriteDeadline(t) }

// Close of a bare descriptor does not tell the scheduler: it waits for nothing, as nobody made it linger but to reset.
func (s *socket) Close() error {
	s.mu.Lock()
	p, fd := s.polled, s.fd
	s.fd = -1
	s.mu.Unlock()
	switch {
	case p != nil:
		return p.Close()
	case fd < 0:
		return net.ErrClosed
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(fd), 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// CloseRead ends the peer's direction.
func (s *socket) CloseRead() error { return s.shutdown(syscall.SHUT_RD) }

// CloseWrite ends ours.
func (s *socket) CloseWrite() error { return s.shutdown(syscall.SHUT_WR) }

func (s *socket) shutdown(how int) error {
	return s.control(func(fd int) error { return syscall.Shutdown(fd, how) })
}

// SetLinger is as in net.TCPConn.
func (s *socket) SetLinger(seconds int) error {
	l := syscall.Linger{Onoff: 1, Linger: int32(seconds)}
	return s.control(func(fd int) error { return syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &l) })
}

// SetKeepAlive is as in net.TCPConn.
func (s *socket) SetKeepAlive(on bool) error {
	value := 0
	if on {
		value = 1
	}
	return s.control(func(fd int) error { return syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, value) })
}

func (s *socket) control(call func(fd int) error) error {
	var failed error
	if err := s.raw().Control(func(fd uintptr) { failed = call(int(fd)) }); err != nil {
		return err
	}
	return failed
}

// RemoteAddr is the client.
func (s *socket) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.remote) }

// LocalAddr is asked of the kernel each time.
func (s *socket) LocalAddr() net.Addr {
	var local syscall.RawSockaddrAny
	s.control(func(fd int) error {
		size := uint32(syscall.SizeofSockaddrAny)
		syscall.RawSyscall(syscall.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&local)), uintptr(unsafe.Pointer(&size)))
		return nil
	})
	return net.TCPAddrFromAddrPort(addrPort(&local))
}

// SyscallConn is for this package: its Control may wait for another one's to return.
func (s *socket) SyscallConn() (syscall.RawConn, error) { return s.raw(), nil }

func (s *socket) raw() syscall.RawConn { return (*rawSocket)(s) }

// rawSocket is a socket's syscall.RawConn.
type rawSocket socket

// Control does not need the poller.
func (r *rawSocket) Control(f func(fd uintptr)) error {
	r.mu.Lock()
	if r.polled == nil {
		defer r.mu.Unlock()
		if r.fd < 0 {
			return net.ErrClosed
		}
		f(uintptr(r.fd))
		return nil
	}
	r.mu.Unlock()
	raw, err := r.poll()
	if err != nil {
		return err
	}
	return raw.Control(f)
}

// Read tries f on a bare descriptor first. When it has to wait it is called again at once, in case that something came
// before the poller knew the connection.
func (r *rawSocket) Read(f func(fd uintptr) (done bool)) error {
	if fd := r.bare(); fd >= 0 && f(uintptr(fd)) {
		return nil
	}
	raw, err := r.poll()
	if err != nil {
		return err
	}
	return raw.Read(f)
}

// Write needs the poller.
func (r *rawSocket) Write(f func(fd uintptr) (done bool)) error {
	raw, err := r.poll()
	if err != nil {
		return err
	}
	return raw.Write(f)
}

func (r *rawSocket) poll() (syscall.RawConn, error) { return (*socket)(r).poll().SyscallConn() }

// bare is the descriptor while it is bare, else -1.
func (r *rawSocket) bare() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fd
}
