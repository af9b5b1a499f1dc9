package socket

import (
	"os"
	"strings"
	"syscall"
)

// gVisorBuild is the kernel version that every gVisor reports
// (pkg/sentry/syscalls/linux/linux64.go).
const gVisorBuild = "#1 SMP Sun Jan 10 15:06:54 PST 2016"

// underGVisor reports whether the kernel is gVisor. The releases of 2022 tell
// it in /proc/cmdline, later ones in uname(2) too. The kernel log also tells
// it, but reading the log needs a system call for which hardened services end
// the process.
func underGVisor() bool {
	var names []string
	var u syscall.Utsname
	if syscall.Uname(&u) == nil {
		names = append(names, text(u.Release[:]), text(u.Version[:]))
	}

	for _, path := range []string{"/proc/version", "/proc/cmdline"} {
		if content, err := os.ReadFile(path); err == nil {
			names = append(names, string(content))
		}
	}

	return namesGVisor(names...)
}

// namesGVisor reports whether one of the kernel's names is gVisor's.
func namesGVisor(names ...string) bool {
	for _, name := range names {
		if strings.Contains(name, gVisorBuild) ||
			strings.Contains(strings.ToLower(name), "gvisor") {
			return true
		}
	}
	return false
}

// text returns a C string. Its characters are signed on some architectures.
func text[T int8 | uint8](field []T) string {
	var s strings.Builder
	for _, c := range field {
		if c == 0 {
			break
		}
		s.WriteByte(byte(c))
	}

	return s.String()
}
