//go:build !linux || (!amd64 && !arm64)

package h1

import (
	"net"
	"syscall"
)

// poller is nil here: every connection is used through net.Conn's own methods, and what follows is never called.
func poller(net.Conn) syscall.RawConn { return nil }

// Lightly returns a listener as it is.
func Lightly(l net.Listener) net.Listener { return l }

// socket is never used.
type socket struct{ net.Conn }

func (s *socket) poll() net.Conn { return s.Conn }

func rawRead(int, []byte) (int, syscall.Errno)      { return 0, syscall.ENOSYS }
func rawWrite(int, *[3][]byte) (int, syscall.Errno) { return 0, syscall.ENOSYS }
func rawPeek(int) peek                              { return silent }
func socketOpen(int) bool                           { return true }

func newPipe(int) *pipe                            { return nil }
func (*pipe) fill(int, int64) (int, syscall.Errno) { return 0, syscall.ENOSYS }
func (*pipe) empty(int) syscall.Errno              { return syscall.ENOSYS }
func (*pipe) close()                               {}
