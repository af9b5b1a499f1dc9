//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// cores are the two cores of a run: one for the proxy under test alone, and one
// for the load and the backends.
type cores struct {
	Load, Proxy int
}

// pickCores takes the first and the last core this process may use.
func pickCores() (cores, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return cores{}, err
	}

	var usable []int
	for i := range len(set) * 64 {
		if set.IsSet(i) {
			usable = append(usable, i)
		}
	}

	if len(usable) == 0 {
		return cores{}, fmt.Errorf("no usable core")
	}

	return cores{Load: usable[0], Proxy: usable[len(usable)-1]}, nil
}

// pinSelf moves every thread of this process to one core; new threads inherit
// it.
func pinSelf(core int) error {
	tasks, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		return err
	}

	for _, t := range tasks {
		tid, err := strconv.Atoi(filepath.Base(t))
		if err != nil {
			return err
		}
		if err := pinThread(tid, core); err != nil && err != unix.ESRCH {
			return err
		}
	}

	return nil
}

func pinThread(tid, core int) error {
	var set unix.CPUSet
	set.Set(core)
	return unix.SchedSetaffinity(tid, &set)
}

// startOn starts a command on one core: a child inherits the affinity of the
// thread that forks it.
func startOn(cmd *exec.Cmd, core, home int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := pinThread(0, core); err != nil {
		return err
	}

	startErr := cmd.Start()
	if err := pinThread(0, home); err != nil {
		return err
	}

	return startErr
}

// raiseFileLimit allows what 10,000 clients and as many backend connections
// need, or as much as the system lets us have. Children inherit it.
func raiseFileLimit() error {
	const enough = 65536
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: enough, Max: enough}) == nil {
		return nil
	}

	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return err
	}

	lim.Cur = lim.Max
	return os.NewSyscallError("setrlimit", unix.Setrlimit(unix.RLIMIT_NOFILE, &lim))
}
