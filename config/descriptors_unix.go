//go:build unix

package config

import "syscall"

// descriptors returns how many files and connections the process may have open;
// 0 is no limit. The Go runtime has raised the limit to the hard limit before.
func descriptors() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil || uint64(limit.Cur) > 1<<30 {
		return 0
	}
	return int(limit.Cur)
}
