//go:build linux && (amd64 || arm64)

package socket

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// Conn is an accepted TCP connection. It begins as a bare descriptor, and its
// owner reads from it in the callback of Read of its SyscallConn. The runtime's
// poller learns of it when that callback has to wait, or when a method is
// called that may wait or keeps a deadline. While it is bare, only its owner
// closes it.
type Conn struct {
	remote netip.AddrPort

	// mu guards the fields below. It is also held while another goroutine uses
	// a bare descriptor, so that the descriptor is not closed meanwhile.
	mu     sync.Mutex
	fd     int      // -1 unless bare
	polled *os.File // nil while bare
}

// Poll registers the connection with the poller, and turns TCP_NODELAY on. A
// closed connection fails at every later call.
func (s *Conn) Poll() *os.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.polled != nil || s.fd < 0 {
		return s.polled
	}

	on := int32(1)
	syscall.RawSyscall6(
		syscall.SYS_SETSOCKOPT, uintptr(s.fd), syscall.IPPROTO_TCP, syscall.TCP_NODELAY,
		uintptr(unsafe.Pointer(&on)), unsafe.Sizeof(on), 0,
	)
	s.polled, s.fd = os.NewFile(uintptr(s.fd), "client"), -1

	return s.polled
}

// Read waits for bytes.
func (s *Conn) Read(p []byte) (int, error) { return s.Poll().Read(p) }

// Write waits until everything is written.
func (s *Conn) Write(p []byte) (int, error) { return s.Poll().Write(p) }

// SetDeadline is as in net.Conn.
func (s *Conn) SetDeadline(t time.Time) error { return s.Poll().SetDeadline(t) }

// SetReadDeadline is as in net.Conn.
func (s *Conn) SetReadDeadline(t time.Time) error { return s.Poll().SetReadDeadline(t) }

// SetWriteDeadline is as in net.Conn.
func (s *Conn) SetWriteDeadline(t time.Time) error { return s.Poll().SetWriteDeadline(t) }

// Close closes the connection. A bare descriptor is closed by a system call
// that the scheduler is not told of, because it can't block.
func (s *Conn) Close() error {
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

// CloseRead shuts down the reading side.
func (s *Conn) CloseRead() error { return s.shutdown(syscall.SHUT_RD) }

// CloseWrite shuts down the writing side.
func (s *Conn) CloseWrite() error { return s.shutdown(syscall.SHUT_WR) }

func (s *Conn) shutdown(how int) error {
	return s.control(func(fd int) error { return syscall.Shutdown(fd, how) })
}

// SetLinger is as in net.TCPConn.
func (s *Conn) SetLinger(seconds int) error {
	l := syscall.Linger{Onoff: 1, Linger: int32(seconds)}
	return s.control(func(fd int) error {
		return syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &l)
	})
}

// SetKeepAlive is as in net.TCPConn.
func (s *Conn) SetKeepAlive(on bool) error {
	value := 0
	if on {
		value = 1
	}
	return s.control(func(fd int) error {
		return syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, value)
	})
}

func (s *Conn) control(call func(fd int) error) error {
	var failed error
	if err := s.raw().Control(func(fd uintptr) { failed = call(int(fd)) }); err != nil {
		return err
	}
	return failed
}

// RemoteAddr returns the client's address.
func (s *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.remote) }

// LocalAddr asks the kernel each time.
func (s *Conn) LocalAddr() net.Addr {
	var local syscall.RawSockaddrAny
	s.control(func(fd int) error {
		size := uint32(syscall.SizeofSockaddrAny)
		syscall.RawSyscall(
			syscall.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&local)),
			uintptr(unsafe.Pointer(&size)),
		)
		return nil
	})
	return net.TCPAddrFromAddrPort(addrPort(&local))
}

// SyscallConn is for this package. Its Control may wait for another Control to
// return.
func (s *Conn) SyscallConn() (syscall.RawConn, error) { return s.raw(), nil }

func (s *Conn) raw() syscall.RawConn { return (*rawSocket)(s) }

// IsBare reports whether the poller does not know the connection yet.
func (s *Conn) IsBare() bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.polled == nil
}

// rawSocket is a socket's syscall.RawConn.
type rawSocket Conn

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

// Read calls f on a bare descriptor first. If f has to wait, the connection is
// registered with the poller and f is called again at once, because bytes may
// have come before that.
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

func (r *rawSocket) poll() (syscall.RawConn, error) { return (*Conn)(r).Poll().SyscallConn() }

// bare returns the descriptor while it is bare, else -1.
func (r *rawSocket) bare() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fd
}
