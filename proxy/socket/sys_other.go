//go:build !linux || (!amd64 && !arm64)

package socket

import (
	"net"
	"syscall"
)

// Raw returns nil. Every connection is used through net.Conn's own methods, so
// the functions below are never called.
func Raw(net.Conn) syscall.RawConn { return nil }

// LazyListener returns a listener as it is.
func LazyListener(l net.Listener) net.Listener { return l }

// WaitingListener returns a listener as it is.
func WaitingListener(l net.Listener) net.Listener { return l }

// Conn is never used here.
type Conn struct{ net.Conn }

// Poll is the connection itself.
func (c *Conn) Poll() net.Conn { return c.Conn }

// Recv is never called here.
func Recv(int, []byte) (int, syscall.Errno) { return 0, syscall.ENOSYS }

// Send is never called here.
func Send(int, *[3][]byte) (int, syscall.Errno) { return 0, syscall.ENOSYS }

// Peek is never called here.
func Peek(int) Readiness { return Silent }

// Open is never called here.
func Open(int) bool { return true }

// HalfOpen is never called here.
func HalfOpen(int) bool { return false }

// DeliveryOf is never called here.
func DeliveryOf(int) Delivery { return Delivery{} }

func newPipe(int, *splicing) *Pipe              { return nil }
func (*Pipe) close()                            {}
func splice(int, int, int) (int, syscall.Errno) { return 0, syscall.ENOSYS }
