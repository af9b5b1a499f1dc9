// Package binary builds the program and runs it as a user does, with an
// environment, arguments and signals, and reads what it prints. A process never
// outlives its test.
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

// Binary is the built program. It is safe for concurrent use.
type Binary struct {
	Path string
}

// Build compiles the program of the module root into dir, with the race
// detector if the test itself runs under it.
func Build(root, dir string) (*Binary, error) {
	path := filepath.Join(dir, "pillion")
	args := []string{"build", "-tags", "grpcnotrace", "-o", path} // as the image is built
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

// PathVariable names the path of a built program, for tests that run where
// nothing can be built.
const PathVariable = "PILLION_TEST_BINARY"

// Main builds the program for a package's tests into *built, runs the tests and
// returns the exit code. TestMain calls it last.
func Main(m *testing.M, root string, built **Binary) int {
	if path := os.Getenv(PathVariable); path != "" {
		*built = &Binary{Path: path}
		return m.Run()
	}

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

// Result is the result of a command that has ended by itself.
type Result struct {
	Code           int
	Stdout, Stderr string
}

// Output returns standard output and then standard error.
func (r Result) Output() string { return r.Stdout + r.Stderr }

// Lines returns the lines of Output without the empty ones.
func (r Result) Lines() []string {
	return strings.FieldsFunc(r.Output(), func(c rune) bool { return c == '\n' })
}

// Run runs a subcommand until it ends, with exactly env as its environment.
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

// environment returns the environment of the process: the variables of the
// test, and none of the machine. The one exception is the directory for the
// coverage counters of `go build -cover`.
func environment(env []string) []string {
	full := []string{"GORACE=atexit_sleep_ms=0"}
	if dir := os.Getenv("GOCOVERDIR"); dir != "" {
		full = append(full, "GOCOVERDIR="+dir)
	}
	return append(full, env...)
}

// refuseCrash fails the test for output that no test may cause.
func refuseCrash(tb testing.TB, printed string) {
	tb.Helper()
	for _, sign := range []string{"WARNING: DATA RACE", "panic: ", "fatal error: ", "panicked", "http: superfluous"} {
		if strings.Contains(printed, sign) {
			tb.Errorf("the process printed %q:\n%s", sign, printed)
		}
	}
}
