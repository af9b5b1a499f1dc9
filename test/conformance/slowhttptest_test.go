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

// slowConnections is the number of connections that slowhttptest opens in a
// run, at a thousand a second.
const slowConnections = 2000

// attacks has slowhttptest's three kinds. Each has 2,000 connections open at
// once before the first limit ends some. mostKiB is one and a half times the
// largest resident memory that was measured.
var attacks = []struct {
	name, target string
	options      []string
	mostKiB      int
}{
	{"heads", "/", []string{"-H", "-i", "1"}, 90 << 10},
	// A body is slow if it makes no progress, so its pieces come less often
	// than LB_STALL_TIMEOUT.
	{"bodies", "/", []string{"-B", "-i", "20", "-s", "8192"}, 152 << 10},
	// slowhttptest notices a reset only after it has read what is in its
	// socket, so it has to read that within seconds.
	{"reading", "/large", []string{"-X", "-n", "1", "-z", "256", "-w", "1", "-y", "512"}, 156 << 10},
}

// TestSlowhttptest opens 2,000 connections with heads, bodies and answers that
// never end. The program cuts off all of them, other clients are served, and
// its memory stays bounded.
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
				// idle connections to the backend may stay
				return descriptors(t, p.PID()) < before+slowConnections/20
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

// slowBackend answers /large with more than the socket of a slow reader takes,
// and everything else with "fine". All answers share a slice, because a copy
// for each connection would take hundreds of megabytes.
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

// mostSendBuffer is the largest tcp_wmem with which slow reading is tested.
// With larger buffers, a loopback socket takes megabytes. An answer that fits
// has been sent as far as the program knows, and 2,000 larger ones exceed the
// machine's TCP memory.
const mostSendBuffer = 128 << 10

// needSmallBuffers skips the test if sockets have larger buffers.
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

// slowTool is the program slowhttptest.
type slowTool string

// slowhttptest returns the program, or skips the test.
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

// slowReport is the report of a run of slowhttptest.
type slowReport struct {
	held int // the most connections open at once
	took time.Duration
}

// attack runs slowhttptest until no connection is left. It fails the test if
// some are left after 30 seconds, or if slowhttptest's probe found the service
// unavailable.
func (s slowTool) attack(t *testing.T, url string, options []string) slowReport {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	statistics := filepath.Join(t.TempDir(), "slow")
	cmd := exec.CommandContext(ctx, string(s),
		append([]string{"-c", strconv.Itoa(slowConnections), "-r", "1000", "-l", "30",
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

	// seconds, closed, pending, connected, and the number of connections if
	// the service is available, or 0
	for _, row := range rows[1:] {
		connected, _ := strconv.Atoi(row[3])
		report.held = max(report.held, connected)
		if row[4] == "0" {
			t.Errorf("slowhttptest found the service unavailable in second %s", row[0])
		}
	}

	t.Logf("slowhttptest's statistics: %v", rows)
	return report
}

// askOthers sends ordinary requests, each on a new connection, until stop is
// called. stop returns the result.
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

// descriptors returns how many files and sockets a process has open.
func descriptors(t *testing.T, pid int) int {
	t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}

	return len(open)
}

// statusKiB returns a number of KiB in a process's status.
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
