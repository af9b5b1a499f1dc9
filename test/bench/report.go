//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// report is everything of one run, for -json.
type report struct {
	Time     time.Time
	Machine  string
	Rounds   int
	Duration time.Duration
	Skipped  []string
	Cases    []*caseResult
	Verdicts []verdict
}

func newReport(b *bench) *report {
	return &report{Time: time.Now().UTC(), Machine: machine(), Rounds: b.rounds, Duration: b.duration, Skipped: b.skipped}
}

// machine names the processor and the kernel.
func machine() string {
	model := runtime.GOARCH
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}

	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	congestion, _ := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control")
	return fmt.Sprintf("%s, %d cores, Linux %s, %s, proxies' congestion control %s", model, runtime.NumCPU(),
		bytes.TrimSpace(kernel), runtime.Version(), bytes.TrimSpace(congestion)) + busy()
}

// busy warns of other work on the machine, which moves every figure.
func busy() string {
	b, err := os.ReadFile("/proc/loadavg")
	var last float64
	if _, scanErr := fmt.Sscan(string(b), &last); err != nil || scanErr != nil || last < 0.5 {
		return ""
	}

	return fmt.Sprintf("; load average %.1f at the start: other work disturbs this run", last)
}

func (r *report) add(c *caseResult) { r.Cases = append(r.Cases, c) }

// failures lists the rows that gave a wrong answer or none.
func (r *report) failures() []string {
	var all []string
	for _, c := range r.Cases {
		for _, e := range c.Entries {
			if e.Failure != "" {
				all = append(all, c.Name+" "+e.Name)
			}
		}
	}

	return all
}

func (r *report) write(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
