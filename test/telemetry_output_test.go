package test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// unread is the program with a standard output that is read up to the line
// "listening", and then no more until rest.
type unread struct {
	URL    string
	cmd    *exec.Cmd
	out    *bufio.Reader
	reader *os.File
	ended  <-chan error // how the process ended
}

func startUnread(t *testing.T, env ...string) *unread {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}

	return startUnreadAt(t, reader, writer, env...)
}

// startUnreadAt is startUnread with the two ends of a pipe, both of which it
// closes.
func startUnreadAt(t *testing.T, reader, writer *os.File, env ...string) *unread {
	t.Helper()
	u := &unread{cmd: exec.Command(pillion.Path), reader: reader}
	u.cmd.Env = append([]string{"LB_LISTEN=127.0.0.1:0", "LB_LOG_FORMAT=json", "LB_DRAIN_DELAY=0s",
		"GORACE=atexit_sleep_ms=0"}, env...)
	u.cmd.Stdout = writer
	if err := u.cmd.Start(); err != nil {
		t.Fatal(err)
	}

	_ = writer.Close()

	ended, gone := make(chan error, 1), make(chan struct{})
	go func() {
		ended <- u.cmd.Wait()
		close(gone)
	}()
	u.ended = ended
	t.Cleanup(func() {
		_ = u.cmd.Process.Kill()
		_ = reader.Close()
		soon(t, "the process's end", gone)
	})

	_ = reader.SetReadDeadline(time.Now().Add(2 * time.Minute))
	u.out = bufio.NewReader(reader)

	for u.URL == "" {
		line, err := u.out.ReadString('\n')
		if err != nil {
			t.Fatalf("the process did not start: %v", err)
		}

		if _, rest, ok := strings.Cut(line, `"message":"listening","address":"`); ok {
			address, _, _ := strings.Cut(rest, `"`)
			u.URL = "http://" + address
		}
	}

	return u
}

// rest ends the process and returns what it had still to say.
func (u *unread) rest(t *testing.T) string {
	t.Helper()
	if err := u.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}

	all, err := io.ReadAll(u.out)
	if err != nil {
		t.Fatal(err)
	}

	return string(all)
}

// A standard output that nobody reads fails no request and grows no memory.
// Every line is read later or was counted.
func TestTelemetry_AnOutputThatNobodyReadsBlocksNoRequest(t *testing.T) {
	t.Parallel()
	u := startUnread(t, "LB_ACCESS_LOG=on", "LB_STATUS_TOKEN="+watchword, backend.Backends(backend.Start(t, "one", nil)))
	before := resident(t, u.cmd.Process.Pid)
	target := "/" + strings.Repeat("x", 2000) // makes the pipe and the queue full soon
	made := pour(t, u.URL+target)
	if grown := resident(t, u.cmd.Process.Pid) - before; grown > 48<<20 && !binary.Race {
		t.Errorf("the process grew by %d bytes", grown)
	}

	dropped := sum(metricsText(t, u.URL), "lb_log_lines_dropped")
	said := u.rest(t)
	written := int64(strings.Count(said, target+"\",\"status\""))
	t.Logf("%d lines, %d written, %d dropped", made, written, dropped)
	if written+dropped != made || dropped == 0 {
		t.Errorf("%d lines were written and %d dropped of %d", written, dropped, made)
	}

	if !strings.Contains(said, "log lines were dropped") {
		t.Error("the log does not say that lines are missing")
	}
}
