package confine

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// From include/uapi/linux/{prctl,seccomp,bpf_common}.h of Linux.
const (
	prSetSeccomp      = 22
	prSetNoNewPrivs   = 38
	seccompModeFilter = 2
	seccompErrno      = 0x00050000
	seccompAllow      = 0x7fff0000

	loadWord       = 0x20
	jumpIfEqual    = 0x15
	jumpIfGreater  = 0x25
	returnConstant = 0x06

	callNumber    = 0  // offsets in struct seccomp_data
	fifthArgument = 48 // the lower half of the argument
)

// become installs the filter and replaces this process by the program.
func (r Refusal) become(program string) error {
	runtime.LockOSThread()
	filter := r.filter()
	install := syscall.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}

	if _, _, e := syscall.RawSyscall6(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0, 0, 0); e != 0 {
		return fmt.Errorf("no_new_privs: %w", e)
	}

	if _, _, e := syscall.RawSyscall(syscall.SYS_PRCTL, prSetSeccomp, seccompModeFilter,
		uintptr(unsafe.Pointer(&install))); e != 0 {
		return fmt.Errorf("seccomp: %w", e)
	}

	return syscall.Exec(program, []string{program}, os.Environ())
}

// filter returns a filter that allows everything but the refused call.
func (r Refusal) filter() []syscall.SockFilter {
	allow := syscall.SockFilter{Code: returnConstant, K: seccompAllow}

	filter := []syscall.SockFilter{
		{Code: loadWord, K: callNumber},
		{Code: jumpIfEqual, Jt: 1, K: r.Call}, allow,
		{Code: loadWord, K: fifthArgument},
	}
	if r.LongerThan > 0 {
		filter = append(filter,
			syscall.SockFilter{Code: jumpIfGreater, Jt: 1, K: r.LongerThan}, allow)
	}

	if r.Of > 0 {
		filter = append(filter, syscall.SockFilter{Code: jumpIfEqual, Jt: 1, K: r.Of}, allow)
	}

	for _, length := range r.NotOf {
		filter = append(filter, syscall.SockFilter{Code: jumpIfEqual, Jf: 1, K: length}, allow)
	}

	return append(filter,
		syscall.SockFilter{Code: returnConstant, K: seccompErrno | uint32(r.Errno)})
}
