// Package pty runs a program in a new terminal, as a user does.
package pty

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pillion-lb/pillion/test/internal/await"
)

// Terminal is a running program and its output so far. It is safe for
// concurrent use.
type Terminal struct {
	tb     testing.TB
	cmd    *exec.Cmd
	pieces await.Values[string]
	ended  chan struct{}
}

// Start runs a program in a terminal with a number of columns until the test
// ends. It skips the test if no terminal can be opened.
func Start(tb testing.TB, columns int, env []string, path string, args ...string) *Terminal {
	tb.Helper()
	screen, keyboard, err := open(columns)
	if err != nil {
		tb.Skipf("no terminal can be opened here: %v", err)
	}
	defer keyboard.Close()

	t := &Terminal{tb: tb, cmd: exec.Command(path, args...), ended: make(chan struct{})}
	t.cmd.Env = append([]string{"GORACE=atexit_sleep_ms=0"}, env...)
	t.cmd.Stdin, t.cmd.Stdout, t.cmd.Stderr = keyboard, keyboard, keyboard
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := t.cmd.Start(); err != nil {
		tb.Fatal(err)
	}

	go t.read(screen)
	tb.Cleanup(func() {
		_ = t.cmd.Process.Kill()
		<-t.ended
		if tb.Failed() {
			tb.Logf("the terminal shows:\n%s", t.Text())
		}
	})

	return t
}

// open opens a pseudo-terminal: screen is the test's side, and keyboard the
// program's.
func open(columns int) (screen, keyboard *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	size := &unix.Winsize{Row: 50, Col: uint16(columns)}
	err = errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0),
		unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size))
	screen = os.NewFile(uintptr(fd), "/dev/ptmx")
	if err == nil {
		keyboard, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		screen.Close()
		return nil, nil, err
	}

	return screen, keyboard, nil
}

// read reads the program's output until it ends. Linux then returns EIO.
func (t *Terminal) read(screen *os.File) {
	defer screen.Close()
	buffer := make([]byte, 4096)
	for {
		n, err := screen.Read(buffer)
		if n > 0 {
			t.pieces.Add(string(buffer[:n]))
		}
		if err != nil && !errors.Is(err, io.ErrNoProgress) {
			break
		}
	}
	_ = t.cmd.Wait()
	close(t.ended)
}

// Text returns the output so far, with its colours.
func (t *Terminal) Text() string {
	return strings.ReplaceAll(strings.Join(t.pieces.All(), ""), "\r\n", "\n")
}

var colours = regexp.MustCompile("\x1b\\[[0-9;]*m")

// Plain returns Text without colours.
func (t *Terminal) Plain() string { return colours.ReplaceAllString(t.Text(), "") }

// Until waits until Plain matches a pattern. It returns the match and its
// groups.
func (t *Terminal) Until(pattern string) []string {
	t.tb.Helper()
	expression := regexp.MustCompile(pattern)
	var found []string
	t.pieces.Wait(await.Limit, t.ended, func([]string) bool {
		found = expression.FindStringSubmatch(t.Plain())
		return found != nil
	})
	if found == nil {
		if found = expression.FindStringSubmatch(t.Plain()); found == nil {
			t.tb.Fatalf("the output never matches %q", pattern)
		}
	}

	return found
}

// Signal sends a signal to the program.
func (t *Terminal) Signal(s os.Signal) { _ = t.cmd.Process.Signal(s) }

// Wait waits for the end of the program and returns its exit code.
func (t *Terminal) Wait() int {
	<-t.ended
	return t.cmd.ProcessState.ExitCode()
}
