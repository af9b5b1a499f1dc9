//go:build !linux

package socket

import "syscall"

// sendFile is never called here.
func sendFile(int, int, int64, int64) (int, syscall.Errno) { return 0, syscall.ENOSYS }

// hasRoom is never called here.
func hasRoom(int) bool { return true }
