//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// countCalls attaches strace for exactly one counted load and returns system
// calls per request, or per MiB. Connections are opened before and closed
// after.
func (b *bench) countCalls(e *entry, spec steadySpec) (float64, error) {
	l, err := newLoad(e.addr, e.load)
	if err != nil {
		return 0, err
	}
	defer l.close()
	if _, err := l.runFor(b.duration / 5); err != nil {
		return 0, err
	}

	file := filepath.Join(b.dir, "strace.txt")
	tracer, err := b.attach(e.pids, file)
	if err != nil {
		return 0, err
	}

	n := spec.traced
	if n == 0 {
		n = 4000
	}

	res, err := l.runCount(n)
	detach(tracer)
	if err != nil {
		return 0, err
	}

	table, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}

	total, err := parseStrace(table)
	return float64(total) / spec.amount(res.Requests), err
}

func (b *bench) attach(pids []int, file string) (*process, error) {
	args := []string{"-f", "-c", "-o", file}
	for _, pid := range pids {
		args = append(args, "-p", strconv.Itoa(pid))
	}

	p, err := spawn(exec.Command(b.strace, args...), b.at.Load, b.at.Load)
	if err != nil {
		return nil, err
	}

	for range 500 {
		if strings.Count(p.output.String(), " attached") >= len(pids) {
			return p, nil
		}

		select {
		case <-p.done:
			return nil, errors.New(p.output.String())
		case <-time.After(10 * time.Millisecond):
		}
	}

	detach(p)
	return nil, fmt.Errorf("strace did not attach: %s", p.output)
}

// detach ends the tracer, which then writes its table.
func detach(p *process) {
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	<-p.done
}

// parseStrace returns the number of calls in the last line of strace -c, which
// reads "100.00 seconds usecs/call calls [errors] total".
func parseStrace(table []byte) (int, error) {
	for line := range bytes.Lines(table) {
		f := strings.Fields(string(line))
		if len(f) >= 5 && f[len(f)-1] == "total" {
			return strconv.Atoi(f[3])
		}
	}
	return 0, errors.New("strace wrote no total")
}
