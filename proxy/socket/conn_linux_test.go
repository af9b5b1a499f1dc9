//go:build linux && (amd64 || arm64)

package socket

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// otherListener is none of package net.
type otherListener struct{ net.Listener }

func dial(t *testing.T, address string) net.Conn {
	t.Helper()

	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { c.Close() })

	return c
}

// TestSocket_ClosedIsClosed whether or not the poller knew it.
func TestSocket_ClosedIsClosed(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{false, true} {
		s, k := accepted(t)
		if known {
			s.Poll()
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}

		k.Close()
		if _, err := s.Read(make([]byte, 1)); err == nil {
			t.Error("read")
		}
		if _, err := s.Write([]byte("x")); err == nil {
			t.Error("written")
		}

		if s.SetDeadline(past) == nil || s.CloseWrite() == nil || s.raw().Read(func(uintptr) bool { return true }) == nil ||
			s.Close() == nil {
			t.Error("closed, and yet it works")
		}
	}
}

// accepted is both ends of a connection.
func accepted(t *testing.T) (*Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	light := LazyListener(l)
	defer light.Close()
	k := dial(t, light.Addr().String())
	io.WriteString(k, "x")
	c, err := light.Accept()
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { c.Close() })
	s := c.(*Conn)
	if n, errno := Recv(s.fd, make([]byte, 9)); n != 1 || errno != 0 {
		t.Fatal(n, errno)
	}

	return s, k
}

// TestSocket_OthersMayLookWhileItIsClosed: a connection may be closed while
// other goroutines use it. They never reach a descriptor that the system has
// given to another connection since.
func TestSocket_OthersMayLookWhileItIsClosed(t *testing.T) {
	t.Parallel()
	for range 50 {
		s, _ := accepted(t)
		var others sync.WaitGroup
		others.Go(func() { s.raw().Control(func(fd uintptr) { Peek(int(fd)) }) })
		others.Go(func() { s.CloseRead(); s.SetDeadline(past) })
		s.Close()
		others.Wait()
		s.Close() // a deadline may have come first
	}
}

func TestLazyListener_LeavesOthersAlone(t *testing.T) {
	l := new(otherListener)
	if LazyListener(l) != net.Listener(l) {
		t.Error("replaced")
	}
}

// TestListener_AcceptsTheSilent, though later than those who speak.
func TestListener_AcceptsTheSilent(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	light := LazyListener(l)
	defer light.Close()
	dial(t, light.Addr().String())
	arrived := make(chan net.Conn, 1)
	go func() {
		c, _ := light.Accept()
		arrived <- c
	}()

	select {
	case c := <-arrived:
		if c != nil {
			c.Close()
		}
	case <-time.After(5 * time.Second):
		t.Fatal("nothing came")
	}
}
