package binary

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
)

// Process is the running program. Its methods are safe for concurrent use.
type Process struct {
	Address string // of its listener, from its first log line

	tb     testing.TB
	cmd    *exec.Cmd
	lines  await.Values[Line]
	stderr await.Values[string]
	ended  chan struct{}
}

// Line is a line of the process's standard output. Fields is nil unless the
// line is a JSON object.
type Line struct {
	Text   string
	Fields map[string]any
}

// String returns the value of a field if it is a string, or "".
func (l Line) String(field string) string {
	s, _ := l.Fields[field].(string)
	return s
}

// Start runs the program on a free port until the test ends, and waits until it
// listens. env is added to what every test uses: an address, JSON logs, no
// access log, no delay before draining.
func (b *Binary) Start(tb testing.TB, env ...string) *Process {
	tb.Helper()
	p := b.Launch(tb, env...)
	listening := func(l Line) bool { return l.String("message") == "listening" && l.String("address") != "" }
	line, ok := p.find(await.Limit, listening)
	if !ok {
		tb.Fatalf("pillion did not start with %q\n%s", env, p.Printed())
	}

	p.Address = line.String("address")
	return p
}

// Launch is Start without the wait, for a process that may refuse to start.
func (b *Binary) Launch(tb testing.TB, env ...string) *Process {
	tb.Helper()
	p := &Process{tb: tb, cmd: exec.Command(b.Path), ended: make(chan struct{})}
	p.cmd.Env = environment(append([]string{
		"LB_LISTEN=127.0.0.1:0", "LB_LOG_FORMAT=json", "LB_ACCESS_LOG=off", "LB_DRAIN_DELAY=0s",
	}, env...))
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}

	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		tb.Fatal(err)
	}

	p.follow(stdout, stderr)
	tb.Cleanup(p.end)
	return p
}

// follow reads both streams to their ends and then waits for the process.
func (p *Process) follow(stdout, stderr io.Reader) {
	var streams sync.WaitGroup
	streams.Go(func() { scan(stdout, func(s string) { p.lines.Add(parse(s)) }) })
	streams.Go(func() { scan(stderr, func(s string) { p.stderr.Add(s) }) })
	go func() {
		streams.Wait()
		_ = p.cmd.Wait() // ProcessState has the result
		close(p.ended)
	}()
}

func scan(r io.Reader, each func(string)) {
	lines := bufio.NewReader(r)
	for {
		s, err := lines.ReadString('\n')
		if s != "" {
			each(strings.TrimSuffix(s, "\n"))
		}
		if err != nil {
			return
		}
	}
}

func parse(s string) Line {
	l := Line{Text: s}
	if json.Unmarshal([]byte(s), &l.Fields) != nil {
		l.Fields = nil
	}
	return l
}

// end kills the process if it still runs, and checks its output.
func (p *Process) end() {
	_ = p.cmd.Process.Kill()
	<-p.ended
	if p.tb.Failed() {
		p.tb.Logf("pillion printed:\n%s", p.Printed())
	}
	refuseCrash(p.tb, p.Printed())
}

// URL returns a URL of the process's listener. target begins with a slash.
func (p *Process) URL(target string) string { return "http://" + p.Address + target }

// Signal sends a signal to the process.
func (p *Process) Signal(s os.Signal) {
	p.tb.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.tb.Fatalf("signal %v: %v", s, err)
	}
}

// Wait waits for the end of the process and returns its exit code. It fails the
// test if that takes longer than limit.
func (p *Process) Wait(limit time.Duration) int {
	p.tb.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		p.tb.Fatalf("pillion still runs after %v", limit)
		return -1
	}
}

// Ended returns a channel that is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// PID returns the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Line waits for a line of standard output, earlier lines included. It fails
// the test if there is none in time.
func (p *Process) Line(what string, match func(Line) bool) Line {
	p.tb.Helper()
	line, ok := p.find(await.Limit, match)
	if !ok {
		p.tb.Fatalf("the log has no line for: %s", what)
	}

	return line
}

func (p *Process) find(limit time.Duration, match func(Line) bool) (found Line, ok bool) {
	ok = p.lines.Wait(limit, p.ended, func(all []Line) bool {
		for _, l := range all {
			if match(l) {
				found = l
				return true
			}
		}
		return false
	})
	return found, ok
}

// Lines returns standard output so far.
func (p *Process) Lines() []Line { return p.lines.All() }

// Printed returns standard output and then standard error so far.
func (p *Process) Printed() string {
	var b strings.Builder
	for _, l := range p.lines.All() {
		b.WriteString(l.Text + "\n")
	}
	for _, s := range p.stderr.All() {
		b.WriteString(s + "\n")
	}

	return b.String()
}
