//go:build !linux

package socket

// Pause does nothing. Whether a short sleep of the thread saves time was
// measured on Linux only.
func Pause() {}
