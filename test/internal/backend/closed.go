package backend

import (
	"errors"
	"io"
	"log"
	"syscall"
	"testing"
)

// quiet discards the log of net/http's servers about connections that tests
// break on purpose.
var quiet = log.New(io.Discard, "", 0)

// bind binds a port of an IPv4 address until the test ends, without listening
// on it. Port 0 is any free one.
func bind(tb testing.TB, address [4]byte, port int) (int, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}

	tb.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return 0, err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: address}); err != nil {
		return 0, err
	}

	name, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, err
	}

	v4, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		return 0, errors.New("not an IPv4 address")
	}

	return v4.Port, nil
}
