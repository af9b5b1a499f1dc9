//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// usage is what a process and its descendants have used so far. The kernel
// splits time into user and system only in ticks of 10 ms, too coarse for one
// round, so the split is taken from the ticks of all rounds.
type usage struct {
	CPU          time.Duration // exact, from schedstat
	User, System int64         // ticks
}

func (u usage) since(before usage) usage {
	return usage{u.CPU - before.CPU, u.User - before.User, u.System - before.System}
}

func (u usage) plus(more usage) usage {
	return usage{u.CPU + more.CPU, u.User + more.User, u.System + more.System}
}

// userShare is the share of user time, 0 to 1.
func (u usage) userShare() float64 {
	return float64(u.User) / float64(max(u.User+u.System, 1))
}

// family lists pid and all its descendants.
func family(pid int) ([]int, error) {
	entries, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}

	children := map[int][]int{}
	for _, path := range entries {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has gone in the meantime
		}

		s, err := parseStat(b)
		if err != nil {
			return nil, err
		}

		children[s.parent] = append(children[s.parent], s.pid)
	}

	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}

	return all, nil
}

// readUsage sums over processes and their threads.
func readUsage(pids []int) (usage, error) {
	var u usage
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return u, err
		}

		s, err := parseStat(b)
		if err != nil {
			return u, err
		}

		u.User += s.user
		u.System += s.system
		cpu, err := readSchedstat(pid)
		if err != nil {
			return u, err
		}

		u.CPU += cpu
	}

	return u, nil
}

// readSchedstat sums the run time of a process's threads in nanoseconds. A
// thread that has ended is not counted, but no peer ends threads under load.
func readSchedstat(pid int) (time.Duration, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}

	sum := time.Duration(0)
	for _, path := range tasks {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}

		d, err := parseSchedstat(b)
		if err != nil {
			return 0, err
		}

		sum += d
	}

	return sum, nil
}

// parseSchedstat reads the first of three numbers: nanoseconds on a CPU.
func parseSchedstat(b []byte) (time.Duration, error) {
	first, _, _ := bytes.Cut(bytes.TrimSpace(b), []byte(" "))
	n, ok := decimal(first)
	if !ok {
		return 0, fmt.Errorf("schedstat: %q", b)
	}

	return time.Duration(n), nil
}

// stat is the part of /proc/PID/stat that the bench needs.
type stat struct {
	pid, parent  int
	user, system int64 // clock ticks
}

// parseStat reads /proc/PID/stat (proc_pid_stat(5)). The second field is a
// name in parentheses that may hold blanks and parentheses itself.
func parseStat(b []byte) (stat, error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return stat{}, fmt.Errorf("stat: %q", b)
	}

	pid, ok := decimal(bytes.TrimSpace(b[:open]))
	rest := bytes.Fields(b[end+1:])
	if !ok || len(rest) < 13 {
		return stat{}, fmt.Errorf("stat: %q", b)
	}

	parent, ok1 := decimal(rest[1])
	user, ok2 := decimal(rest[11])
	system, ok3 := decimal(rest[12])
	if !ok1 || !ok2 || !ok3 {
		return stat{}, fmt.Errorf("stat: %q", b)
	}

	return stat{pid: int(pid), parent: int(parent), user: user, system: system}, nil
}

// memory is the memory of processes in bytes.
type memory struct {
	Resident, Peak int64
}

// readMemory sums VmRSS and VmHWM. Pages that a parent and its child share
// count twice, which is small for the proxies here.
func readMemory(pids []int) (memory, error) {
	var m memory
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return m, err
		}

		resident, err := parseStatus(b, "VmRSS")
		if err != nil {
			return m, err
		}

		peak, err := parseStatus(b, "VmHWM")
		if err != nil {
			peak = resident // gVisor keeps no peak
		}

		m.Resident += resident
		m.Peak += peak
	}

	return m, nil
}

// parseStatus returns a "Name:  123 kB" line of /proc/PID/status in bytes.
func parseStatus(b []byte, name string) (int64, error) {
	for line := range bytes.Lines(b) {
		rest, ok := bytes.CutPrefix(line, []byte(name+":"))
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte("kB")))), 10, 64)

		return n << 10, err
	}

	return 0, fmt.Errorf("no %s in status", name)
}
