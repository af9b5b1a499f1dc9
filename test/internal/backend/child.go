package backend

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// childVariable tells the test binary that it was started as a backend: the value is its name.
const childVariable = "PILLION_TEST_BACKEND"

// Child is a backend in a process of its own, which can be killed, stopped and continued.
type Child struct {
	Name    string
	Address string
	process *exec.Cmd
}

// RunChild is the child's side. TestMain calls it first; it does not return in a child.
func RunChild() {
	name := os.Getenv(childVariable)
	if name == "" {
		return
	}
	l, err := net.Listen("tcp", os.Getenv(childVariable+"_ADDRESS"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(l.Addr())
	go func() { // the parent's end of this pipe closes however the parent ends
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set(NameField, name)
		_, _ = io.WriteString(w, name)
	}))
	os.Exit(1)
}

// StartChild starts a backend process on address ("127.0.0.1:0" for a new one) and waits until it listens.
func StartChild(tb testing.TB, name, address string) *Child {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = []string{childVariable + "=" + name, childVariable + "_ADDRESS=" + address}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	c := &Child{Name: name, process: cmd}
	tb.Cleanup(func() {
		_ = stdin.Close()
		c.Kill()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		tb.Fatalf("backend process %s: %v", name, err)
	}
	c.Address = strings.TrimSpace(line)
	return c
}

// Kill ends the process at once, with its connections and its port. Killing it twice is harmless.
func (c *Child) Kill() {
	_ = c.process.Process.Kill()
	_ = c.process.Wait()
}

// Stop freezes the process: the kernel goes on accepting for it, and nothing is answered.
func (c *Child) Stop() error { return c.process.Process.Signal(syscall.SIGSTOP) }

// Continue ends Stop.
func (c *Child) Continue() error { return c.process.Process.Signal(syscall.SIGCONT) }

// Target is the backend as an item of LB_BACKENDS.
func (c *Child) Target(options ...string) string {
	return Target("http://"+c.Address, c.Name, options...)
}
