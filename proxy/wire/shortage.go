package wire

import (
	"errors"
	"net"
	"slices"
	"strings"
	"syscall"
)

// ErrShort means that the memory budget of the process refused an engine
// memory.
var ErrShort = errors.New("no memory left in the budget")

// shortages are the errors with which the kernel reports that the process or
// its machine has run out of something.
var shortages = []error{
	ErrShort,
	syscall.EMFILE, syscall.ENFILE, // descriptors
	syscall.ENOMEM, syscall.ENOBUFS, // memory
	// local ports, see connect(2) and ip(7)
	syscall.EADDRNOTAVAIL, syscall.EADDRINUSE, syscall.EAGAIN,
	syscall.ENOSPC, // epoll's limit of watches, see epoll_ctl(2)
}

// Shortage reports whether an attempt failed because the process has run out
// of memory, descriptors or local ports. That says nothing about the backend.
func (e *Error) Shortage() bool { return Shortage(e.Err) }

// Shortage reports whether an error says that the process or its machine has
// run out of something.
func Shortage(err error) bool {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		// Package net keeps only the text of the error that ended a lookup.
		return slices.ContainsFunc(
			shortages, func(s error) bool { return strings.HasSuffix(dns.Err, ": "+s.Error()) },
		)
	}
	return slices.ContainsFunc(shortages, func(s error) bool { return errors.Is(err, s) })
}
