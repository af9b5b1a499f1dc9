//go:build linux

package main

import (
	"os"
	"testing"
	"time"
)

func TestParseStat_NameMayHoldAnything(t *testing.T) {
	t.Parallel()
	line := "42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 111 222 0 0 20 0 1 0 100 200 300\n"
	got, err := parseStat([]byte(line))
	if want := (stat{pid: 42, parent: 7, user: 111, system: 222}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}

	for _, bad := range []string{"", "42", "42 (x", ") 42 (", "42 (x) S 7",
		"x (y) S 7 42 42 0 -1 4194560 1 2 3 4 111 222 0"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestParseSchedstat(t *testing.T) {
	t.Parallel()
	if got, err := parseSchedstat([]byte("123456789 42 7\n")); err != nil || got != 123456789*time.Nanosecond {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := parseSchedstat([]byte("\n")); err == nil {
		t.Error("nothing was accepted")
	}
}

func TestParseStatus(t *testing.T) {
	t.Parallel()
	text := []byte("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t     100 kB\n")
	if got, err := parseStatus(text, "VmHWM"); err != nil || got != 2<<20 {
		t.Errorf("got %d, %v", got, err)
	}

	if _, err := parseStatus(text, "VmSwap"); err == nil {
		t.Error("a missing line was found")
	}
}

func TestReadUsage_SeesOwnWork(t *testing.T) {
	t.Parallel()
	pids := []int{os.Getpid()}
	before, err := readUsage(pids)
	if err != nil {
		t.Skip(err)
	}

	for begin := time.Now(); time.Since(begin) < 30*time.Millisecond; {
	}

	after, err := readUsage(pids)
	if err != nil {
		t.Fatal(err)
	}
	if got := after.since(before).CPU; got <= 0 {
		t.Errorf("30 ms of work cost %v", got)
	}
}

func TestUsage_UserShare(t *testing.T) {
	t.Parallel()
	if got := (usage{User: 1, System: 3}).userShare(); got != 0.25 {
		t.Errorf("got %v", got)
	}
	if got := (usage{}).userShare(); got != 0 {
		t.Errorf("no ticks: got %v", got)
	}
}

func TestParseStrace_TotalWithAndWithoutErrors(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"100.00    0.000049          16       321           total\n",
		"100.00    0.000049          16       321        12 total\n",
	} {
		table := "% time     seconds  usecs/call     calls    errors syscall\n 83.67  0.000041  41  1  close\n" + line
		if got, err := parseStrace([]byte(table)); err != nil || got != 321 {
			t.Errorf("%q: got %d, %v", line, got, err)
		}
	}

	if _, err := parseStrace([]byte("strace: killed\n")); err == nil {
		t.Error("a table without a total was accepted")
	}
}
