package socket

import (
	"errors"
	"sync/atomic"
	"syscall"
	"time"
)

// recheckAfter is how long bytes are copied after splice(2) failed for a
// temporary reason.
const recheckAfter = time.Minute

// splicing is what is known about splice(2) on this machine. A kernel may lack
// it, a sandbox may forbid it, and in gVisor of 2022 it delivers wrong bytes.
// So it is used only after a check that compares every byte, and no longer once
// it was refused. The zero value knows nothing. Safe for concurrent use.
type splicing struct {
	state atomic.Int32
	again atomic.Int64 // when to check again, in Unix nanoseconds
}

// States of splicing.
const (
	splicingUnknown = iota // not checked yet, or with a temporary failure
	splicingInCheck        // one caller checks; others copy meanwhile
	splicingWorks          // every byte of the check was right
	splicingRefused        // wrong bytes, or a permanent error
)

// usable reports whether bodies may be spliced. The first call runs the check,
// which takes a few milliseconds.
func (s *splicing) usable() bool {
	switch s.state.Load() {
	case splicingWorks:
		return true
	case splicingUnknown:
		if time.Now().UnixNano() < s.again.Load() {
			return false
		}
		if !s.state.CompareAndSwap(splicingUnknown, splicingInCheck) {
			return false
		}
	default:
		return false
	}

	if err := checkSplice(); err != nil {
		s.refuse(err)
		return false
	}

	s.state.Store(splicingWorks)
	return true
}

// refused reports whether bodies must be copied, as far as that is known
// without a check.
func (s *splicing) refused() bool {
	state := s.state.Load()
	return state == splicingRefused ||
		state == splicingUnknown && time.Now().UnixNano() < s.again.Load()
}

// refuse notes an error of splice(2) or of the check. After a lack of memory or
// descriptors the check is repeated later.
func (s *splicing) refuse(err error) {
	if !passes(err) {
		s.state.Store(splicingRefused)
		return
	}

	s.again.Store(time.Now().Add(recheckAfter).UnixNano())
	s.state.CompareAndSwap(splicingWorks, splicingUnknown)
	s.state.CompareAndSwap(splicingInCheck, splicingUnknown)
}

// passes reports whether an error is a temporary shortage.
func passes(err error) bool {
	for _, shortage := range []error{
		errCheckTooSlow, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS,
		syscall.EADDRNOTAVAIL,
	} {
		if errors.Is(err, shortage) {
			return true
		}
	}

	return false
}

// ofConnection reports whether an error of splice(2) is about the connection,
// so that a read or a write would fail too. Any other error is about the kernel
// or a sandbox.
func ofConnection(errno syscall.Errno) bool {
	switch errno {
	case syscall.ECONNRESET, syscall.EPIPE, syscall.ETIMEDOUT, syscall.ECONNABORTED,
		syscall.ECONNREFUSED, syscall.ENOTCONN, syscall.ESHUTDOWN, syscall.EHOSTUNREACH,
		syscall.EHOSTDOWN, syscall.ENETUNREACH, syscall.ENETDOWN, syscall.ENETRESET:
		return true
	}
	return false
}
