package socket

import (
	"syscall"
	"unsafe"
)

// Pause sleeps for the shortest time that the kernel supports: about 55 µs,
// because of the slack of its timers. It blocks the thread and keeps the
// runtime's processor, because releasing and acquiring it again would take
// longer than the sleep. A signal of the runtime ends the sleep early, so it
// delays no garbage collection.
func Pause() {
	shortest := syscall.Timespec{Nsec: 1}
	_, _, _ = syscall.RawSyscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&shortest)), 0, 0)
}
