// Package confine runs the program with system calls that fail, as they do in
// sandboxes and under seccomp profiles. It uses a seccomp filter, so it needs
// Linux.
package confine

import (
	"encoding/json"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/binary"
)

// Refusal is a system call that fails with an error.
type Refusal struct {
	Call  uint32
	Errno syscall.Errno

	// The call fails only if its fifth argument is larger than LongerThan and none
	// of NotOf. For splice(2) this argument is the length.
	LongerThan uint32
	NotOf      []uint32

	// If Of is not 0, the call fails only with this fifth argument.
	Of uint32
}

// refusalVariable and programVariable make the test binary confine itself and
// become the program.
const (
	refusalVariable = "PILLION_TEST_REFUSAL"
	programVariable = "PILLION_TEST_PROGRAM"
)

// Start is Binary.Start for a process with a refusal.
func Start(tb testing.TB, b *binary.Binary, refusal Refusal, env ...string) *binary.Process {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}

	text, err := json.Marshal(refusal)
	if err != nil {
		tb.Fatal(err)
	}

	confined := &binary.Binary{Path: self}
	return confined.Start(tb, append(env,
		refusalVariable+"="+string(text), programVariable+"="+b.Path)...)
}

// RunChild confines the process and becomes the program, if the process was
// started for this, and does not return then. TestMain calls it first.
func RunChild() {
	text := os.Getenv(refusalVariable)
	if text == "" {
		return
	}

	var refusal Refusal
	err := json.Unmarshal([]byte(text), &refusal)
	if err == nil {
		err = refusal.become(os.Getenv(programVariable))
	}

	fmt.Fprintln(os.Stderr, "confine:", err)
	os.Exit(1)
}
