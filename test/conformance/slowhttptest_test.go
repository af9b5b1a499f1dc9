package conformance

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// slowConnections is how many connections slowhttptest opens in a run, a thousand a second.
const slowConnections = 2000

// attacks are slowhttptest's three kinds. Each holds 2,000 connections at once before the first limit is over. mostKiB
// is half as much again as the program's largest resident set when this was written.
var attacks = []struct {
	name, target string
	options      []string
	mostKiB      int
}{
	{"heads", "/", []string{"-H", "-i", "1"}, 90 << 10},
	// A body is slow when it makes no progress, so its pieces come less often than LB_STALL_TIMEOUT.
	{"bodies", "/", []string{"-B", "-i", "20", "-s", "8192"}, 152 << 10},
	// slowhttptest sees a reset only behind what its own socket holds, so it is to read that much within seconds.
	{"reading", "/large", []string{"-X", "-n", "1", "-z", "256", "-w", "1", "-y", "512"}, 156 << 10},
}

// TestSlowhttptest has slowhttptest hold 2,000 connections with heads, bodies and answers that never end. The program
// cuts them all, nobody else notices, and its memory stays within bounds.
func TestSlowhttptest(t *testing.T) {
	tool := slowhttptest(t)
	for _, attack := range attacks { // one after the other: each needs the machine
		t.Run(attack.name, func(t *testing.T) {
			if attack.target == "/large" {
				needSmallBuffers(t)
			}
			p := pillion.Start(t, slowBackend(t).Environment(), "LB_HEADER_TIMEOUT=5s", "LB_STALL_TIMEOUT=5s")
			before := descriptors(t, p.PID())
			others := askOthers(p.URL("/"))
			report := tool.attack(t, p.URL(attack.target), attack.options)
			served, failed := others()

			if len(failed) > 0 {
				t.Errorf("%d of %d requests of others failed, the first with %v", len(failed), served+len(failed), failed[0])
			}
			if served < 100 {
				t.Errorf("only %d requests of others in %v", served, report.took)
			}
			if report.held < slowConnections*9/10 {
				t.Errorf("slowhttptest held %d connections at most: this tested little", report.held)
			}
			await.Until(t, "the program has closed what slowhttptest opened", func() bool {
				return descriptors(t, p.PID()) < before+slowConnections/20 // what is idle towards the backend may stay
			})
			peak := statusKiB(t, p.PID(), "VmHWM:")
			if !binary.Race && peak > attack.mostKiB { // the race detector keeps books of its own
				t.Errorf("%d KiB at the peak, at most %d", peak, attack.mostKiB)
			}
			t.Logf("%d connections held at once, all closed after %v; %d requests of others; %d KiB at the peak",
				report.held, report.took.Round(time.Second), served, peak)
		})
	}
}

// slowBackend answers /large with more than a socket takes whose reader is slow, and everything else with "fine". It
// writes one slice to all, because a copy for each connection would be hundreds of megabytes.
func slowBackend(t *testing.T) *backend.Raw {
	large := []byte(backend.Answer(200, strings.Repeat("a", 2*mostSendBuffer+256<<10)))
	small := []byte(backend.Answer(200, "fine"))
	return backend.StartRaw(t, "raw", func(c *backend.Conn) {
		for {
			r, err := c.ReadRequest()
			if err != nil {
				return
			}
			answer := small
			if strings.HasPrefix(r.Head, "GET /large ") {
				answer = large
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	})
}

// mostSendBuffer is the largest tcp_wmem with which slow reading is tested. Over the loopback interface a socket takes
// megabytes otherwise: an answer that fits has been sent as far as the program can see, and 2,000 that do not fit are
// more than the machine's TCP memory.
const mostSendBuffer = 128 << 10

// needSmallBuffers skips the test where sockets take too much.
func needSmallBuffers(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_wmem")
	if err != nil {
		t.Skip("no /proc")
	}
	var least, usual, most int
	if _, err := fmt.Sscan(string(text), &least, &usual, &most); err != nil || most > mostSendBuffer {
		t.Skipf("net.ipv4.tcp_wmem allows a socket %d bytes, and this needs at most %d: README.md has a command for it",
			most, mostSendBuffer)
	}
}

// slowTool is the path of slowhttptest.
type slowTool string

// slowhttptest finds the program, or skips the test.
func slowhttptest(t *testing.T) slowTool {
	t.Helper()
	if testing.Short() {
		t.Skip("three attacks take half a minute")
	}
	path, err := exec.LookPath("slowhttptest")
	if err != nil {
		t.Skip("slowhttptest is not installed; README.md says where to get it")
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil || files.Max < 3*slowConnections {
		t.Skipf("2,000 slow connections need a limit of %d open files", 3*slowConnections)
	}
	return slowTool(path)
}

// slowReport is what slowhttptest says of a run.
type slowReport struct {
	held int // the most connections open at once
	took time.Duration
}

// attack runs slowhttptest until no connection is left. It fails the test when some are left after 30 seconds, or when
// slowhttptest's own probe found the service unavailable.
func (s slowTool) attack(t *testing.T, url string, options []string) slowReport {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	statistics := filepath.Join(t.TempDir(), "slow")
	cmd := exec.CommandContext(ctx, string(s), append([]string{"-c", strconv.Itoa(slowConnections), "-r", "1000", "-l", "30",
		"-p", "3", "-x", "24", "-u", url, "-g", "-o", statistics}, options...)...)
	began := time.Now()
	out, err := cmd.CombinedOutput()
	report := slowReport{took: time.Since(began)}
	if err != nil || !strings.Contains(string(out), "No open connections left") {
		t.Errorf("slowhttptest ended with %v and not because all its connections were closed:\n%s", err, out)
	}
	file, err := os.Open(statistics + ".csv")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil || len(rows) < 2 {
		t.Fatalf("slowhttptest's statistics: %v %v", rows, err)
	}
	for _, row := range rows[1:] { // seconds, closed, pending, connected, the number of connections if available else 0
		connected, _ := strconv.Atoi(row[3])
		report.held = max(report.held, connected)
		if row[4] == "0" {
			t.Errorf("slowhttptest found the service unavailable in second %s", row[0])
		}
	}
	t.Logf("slowhttptest's statistics: %v", rows)
	return report
}

// askOthers sends ordinary requests, each on a connection of its own, until stop is called, which says how they went.
func askOthers(url string) (stop func() (served int, failed []error)) {
	done, ended := make(chan struct{}), make(chan struct{})
	var served int
	var failed []error
	go func() {
		defer close(ended)
		client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			if err := askFine(&client, url); err != nil {
				failed = append(failed, err)
			} else {
				served++
			}
		}
	}()
	return func() (int, []error) {
		close(done)
		<-ended
		return served, failed
	}
}

func askFine(client *http.Client, url string) error {
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != 200 || string(body) != "fine" {
		return fmt.Errorf("%s with %q", response.Status, body)
	}
	return nil
}

// descriptors is how many files and sockets a process has open.
func descriptors(t *testing.T, pid int) int {
	t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

// statusKiB is a figure of a process's status in KiB.
func statusKiB(t *testing.T, pid int, name string) (kib int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, value, _ := strings.Cut(string(text), name)
	_, _ = fmt.Sscan(value, &kib)
	return kib
}
