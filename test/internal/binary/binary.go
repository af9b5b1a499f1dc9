// Package binary builds the program and runs it as a user does: with an environment and arguments, by signals, and by
// what it prints. A started process never outlives its test.
package binary

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Binary is the built program. Safe for concurrent use.
type Binary struct {
	Path string
}

// Build compiles the program of the module root into dir, with the race detector if the test itself runs under it.
func Build(root, dir string) (*Binary, error) {
	path := filepath.Join(dir, "pillion")
	args := []string{"build", "-o", path}
	if Race {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, ".")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return &Binary{Path: path}, nil
}

// Main builds the program for a package's tests into *built, runs them and returns the exit code: it is what TestMain calls
// last.
func Main(m *testing.M, root string, built **Binary) int {
	dir, err := os.MkdirTemp("", "pillion-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if *built, err = Build(root, dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// Result is how a command that ends by itself ended.
type Result struct {
	Code           int
	Stdout, Stderr string
}

// Output is both streams, for promises that hold wherever something is printed.
func (r Result) Output() string { return r.Stdout + r.Stderr }

// Lines is Output without its empty lines.
func (r Result) Lines() []string {
	return strings.FieldsFunc(r.Output(), func(c rune) bool { return c == '\n' })
}

// Run runs a subcommand to its end with exactly env as its environment.
func (b *Binary) Run(tb testing.TB, env []string, args ...string) Result {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, b.Path, args...)
	cmd.Env = environment(env)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		tb.Fatalf("pillion %v did not end within a minute; it printed:\n%s%s", args, &stdout, &stderr)
	}
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		tb.Fatalf("pillion %v: %v", args, err)
	}
	result := Result{Code: cmd.ProcessState.ExitCode(), Stdout: stdout.String(), Stderr: stderr.String()}
	refuseCrash(tb, result.Stderr)
	return result
}

// environment is what the process gets: what the test says, and nothing that the machine happens to have. The
// directory of coverage counters is the one exception, for `go build -cover`.
func environment(env []string) []string {
	full := []string{"GORACE=atexit_sleep_ms=0"}
	if dir := os.Getenv("GOCOVERDIR"); dir != "" {
		full = append(full, "GOCOVERDIR="+dir)
	}
	return append(full, env...)
}

// refuseCrash fails the test for what must never appear, whatever the test is about.
func refuseCrash(tb testing.TB, printed string) {
	tb.Helper()
	for _, sign := range []string{"WARNING: DATA RACE", "panic: ", "fatal error: ", "panicked", "http: superfluous"} {
		if strings.Contains(printed, sign) {
			tb.Errorf("the process wrote %q:\n%s", sign, printed)
		}
	}
}
