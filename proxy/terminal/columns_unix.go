//go:build unix

package terminal

import (
	"os"

	"golang.org/x/sys/unix"
)

// columns returns the width of a terminal, and reports whether the file is a
// terminal. A terminal without a known width, such as a serial line, has 0
// columns.
func columns(f *os.File) (n int, isTerminal bool) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, false
	}

	var size *unix.Winsize
	_ = raw.Control(func(fd uintptr) { size, err = unix.IoctlGetWinsize(int(fd), unix.TIOCGWINSZ) })
	if err != nil || size == nil {
		return 0, false
	}

	return int(size.Col), true
}
