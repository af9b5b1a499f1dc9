package socket

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"syscall"
	"testing"
)

// gVisor replaces a system call by a jump only if the instruction before it
// loads the call's number: mov $number, %eax; syscall. No other part of the
// program makes these three calls in that way.
func TestCalls_HaveTheirNumberRightBeforeThem(t *testing.T) {
	t.Parallel()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()

	code, err := program.Section(".text").Data()
	if err != nil {
		t.Fatal(err)
	}
	for name, number := range map[string]uint32{
		"recvfrom": syscall.SYS_RECVFROM, "sendto": syscall.SYS_SENDTO, "writev": syscall.SYS_WRITEV,
	} {
		pattern := append(binary.LittleEndian.AppendUint32([]byte{0xb8}, number), 0x0f, 0x05)
		if !bytes.Contains(code, pattern) {
			t.Errorf("%s: the program does not contain % x", name, pattern)
		}
	}
}

// The results are the kernel's, errors included.
func TestCalls_GiveTheErrorOfTheKernel(t *testing.T) {
	t.Parallel()
	if _, errno := Recv(-1, make([]byte, 1)); errno != syscall.EBADF {
		t.Error(errno)
	}
	if _, errno := Send(-1, &[3][]byte{[]byte("x")}); errno != syscall.EBADF {
		t.Error(errno)
	}
	if _, errno := Send(-1, &[3][]byte{[]byte("x"), []byte("y")}); errno != syscall.EBADF {
		t.Error(errno)
	}
}
