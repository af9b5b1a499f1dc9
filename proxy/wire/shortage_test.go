package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
)

func TestShortage_IsWhatTheProcessLacks(t *testing.T) {
	t.Parallel()
	dial := func(call string, errno syscall.Errno) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError(call, errno)}
	}

	lookup := func(text string) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: text, Name: "shop", Server: "10.0.0.1:53"}}
	}
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{ErrShort, true},
		{fmt.Errorf("no place: %w", ErrShort), true},
		{dial("socket", syscall.EMFILE), true},
		{dial("socket", syscall.ENFILE), true},
		{dial("socket", syscall.ENOBUFS), true},
		{dial("connect", syscall.ENOMEM), true},
		{dial("connect", syscall.EADDRNOTAVAIL), true},
		{dial("connect", syscall.EAGAIN), true},
		{dial("bind", syscall.EADDRINUSE), true},
		{dial("epoll_ctl", syscall.ENOSPC), true},
		{lookup("dial udp 10.0.0.1:53: socket: too many open files"), true},
		{lookup("dial udp 10.0.0.1:53: connect: cannot assign requested address"), true},

		{dial("connect", syscall.ECONNREFUSED), false},
		{dial("connect", syscall.ENETUNREACH), false},
		{dial("connect", syscall.EHOSTUNREACH), false},
		{dial("connect", syscall.ETIMEDOUT), false},
		{dial("read", syscall.ECONNRESET), false},
		{dial("write", syscall.EPIPE), false},
		{lookup("no such host"), false},
		{lookup("server misbehaving"), false},
		{lookup("read udp 10.0.0.2:1->10.0.0.1:53: read: connection refused"), false},
		{os.ErrDeadlineExceeded, false},
		{io.ErrUnexpectedEOF, false},
		{errors.New("too many open files"), false}, // a backend's word, not the kernel's
	} {
		if got := Shortage(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
		if got := (&Error{Err: c.err}).Shortage(); got != c.want {
			t.Errorf("%v in an Error: %v", c.err, got)
		}
	}
}
