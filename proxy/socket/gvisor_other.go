//go:build !linux

package socket

// underGVisor returns false: a program inside gVisor is always one that was
// built for Linux.
func underGVisor() bool { return false }
