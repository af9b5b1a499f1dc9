package soak

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// token opens the program's metrics.
const token = "a-long-random-word"

// measured is an environment in which the program can be measured: it shows its metrics, says after each garbage
// collection what survived it, and keeps no connection to a backend for longer than a second.
var measured = []string{"LB_STATUS_TOKEN=" + token, "OTEL_METRICS_EXPORTER=prometheus", "GODEBUG=gctrace=1", "LB_IDLE_CONN_TIMEOUT=1s"}

// subject is the program as a test measures it.
type subject struct {
	*binary.Process
	t *testing.T
}

func start(t *testing.T, env ...string) *subject {
	t.Helper()
	return &subject{pillion.Start(t, append(slices.Clone(measured), env...)...), t}
}

// level is what a process holds.
type level struct {
	Descriptors int
	Resident    int // KiB
	Heap        int // MiB that survived the last garbage collection
	Threads     int
	CPU         time.Duration // used so far
}

func (l level) String() string {
	return fmt.Sprintf("%d descriptors, %d KiB resident, %d MiB live heap, %d threads, %v of CPU used", l.Descriptors, l.Resident, l.Heap, l.Threads, l.CPU)
}

// now is the level at this moment.
func (s *subject) now() level {
	s.t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.PID()))
	if err != nil {
		s.t.Skip("no /proc here")
	}
	l := level{Descriptors: len(files), Resident: s.status("VmRSS:"), Threads: s.status("Threads:"), CPU: s.processor()}
	if all := s.collections(); len(all) > 0 {
		l.Heap = all[len(all)-1]
	}
	return l
}

// status is a number of /proc/PID/status.
func (s *subject) status(name string) (n int) {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
	if err != nil {
		s.t.Skip("no /proc here")
	}
	_, value, _ := strings.Cut(string(text), name)
	_, _ = fmt.Sscan(value, &n)
	return n
}

// processor is the CPU time that the process has used, in ticks of which Linux shows a hundred a second.
func (s *subject) processor() time.Duration {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.PID()))
	_, rest, _ := strings.Cut(string(raw), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// survived finds the live heap in a line of gctrace: "gc 7 @1.2s 0%: … , 4->5->2 MB, …".
var survived = regexp.MustCompile(`(?m)^gc \d+ @.* \d+->\d+->(\d+) MB`)

// collections is the live heap after each garbage collection so far, in MiB.
func (s *subject) collections() []int {
	var all []int
	for _, found := range survived.FindAllStringSubmatch(s.Printed(), -1) {
		n, _ := strconv.Atoi(found[1])
		all = append(all, n)
	}
	return all
}

// settle waits until nothing is open and the garbage of the traffic is collected. What finalizers hold takes two
// collections, which requests with much in their heads bring about; the connection on which they go is the only one.
func (s *subject) settle() level {
	s.t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: await.Limit}
	await.Until(s.t, "nothing is in progress", func() bool {
		// the request that asks is not counted
		return s.metric(client, "lb_tunnels") == 0 && s.metric(client, "lb_endpoint_in_flight") == 0 && s.metric(client, "http_server_active_requests") == 0
	})
	wanted := len(s.collections()) + 3
	await.Until(s.t, "the garbage is collected", func() bool {
		for range 50 {
			s.read(client, "/.lb/ready", strings.Repeat("x", 30<<10))
		}
		return len(s.collections()) >= wanted
	})
	await.Until(s.t, "no connection to a backend is left", func() bool { return s.metric(client, "lb_pool_connections") == 0 })
	return s.now()
}

// metric is the sum of a metric over its attributes.
func (s *subject) metric(client *http.Client, name string) (sum float64) {
	s.t.Helper()
	for line := range strings.SplitSeq(s.read(client, "/.lb/metrics", ""), "\n") {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		value, _ := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		sum += value
	}
	return sum
}

// read is the answer of one of the program's own paths.
func (s *subject) read(client *http.Client, target, padding string) string {
	s.t.Helper()
	r, _ := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.URL(target), nil)
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Padding", padding)
	response, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %d %v", target, response.StatusCode, err)
	}
	return string(text)
}

// How far from its level a process may be. Descriptors: the runtime's own, and pairs of pipes that wait for their next
// splice(2). The live heap is counted in whole MiB, and pools keep what a busier moment needed. Resident memory goes up
// and down with the garbage that waits for its collection, which comes when 16 MiB were made, and with the pages that
// the runtime keeps for the next of it.
const (
	spareDescriptors = 4
	spareHeap        = 4        // MiB
	spareResident    = 24 << 10 // KiB
)

// wantLevel waits until the process is back at a level. Memory goes back to the kernel by and by, when the collections
// of settle have found it free. The race detector's own books grow with what was ever touched, so that under it
// resident memory says nothing.
func (s *subject) wantLevel(before level) level {
	s.t.Helper()
	after := s.settle()
	if !await.Within(4*await.Limit, func() bool {
		after = s.now()
		return after.Descriptors <= before.Descriptors+spareDescriptors && after.Heap <= before.Heap+spareHeap &&
			(binary.Race || after.Resident <= before.Resident+spareResident)
	}) {
		s.t.Errorf("before: %v; after: %v", before, after)
	}
	return after
}

// goroutine is the first line of a goroutine's stack; the first of all is the scheduler's, number 0.
var goroutine = regexp.MustCompile(`(?m)^goroutine ([1-9]\d*) .*\[`)

// origin is the line that says where a goroutine was started.
var origin = regexp.MustCompile(`(?m)^created by (\S+)`)

// spareGoroutines is how much longer one process's list may be than another's that does the same: the runtime and
// net/http start some when they are needed and end them later.
const spareGoroutines = 4

// quit ends the process as SIGQUIT does and returns how many goroutines it had, and how many of them each function
// started.
func (s *subject) quit() (int, map[string]int) {
	s.t.Helper()
	s.Signal(syscall.SIGQUIT)
	s.Wait(await.Limit)
	printed := s.Printed()
	_, stacks, ok := strings.Cut(printed, "SIGQUIT: quit")
	if !ok {
		s.t.Fatal("no stacks were printed")
	}
	numbers, origins := map[string]bool{}, map[string]int{}
	for _, found := range goroutine.FindAllStringSubmatch(stacks, -1) {
		numbers[found[1]] = true
	}
	for _, found := range origin.FindAllStringSubmatch(stacks, -1) {
		origins[found[1]]++
	}
	return len(numbers), origins
}

// wantGoroutines ends both processes and compares.
func (s *subject) wantGoroutines(control *subject) {
	s.t.Helper()
	want, usual := control.quit()
	got, origins := s.quit()
	s.t.Logf("%d goroutines; %d in a process that saw little", got, want)
	if got > want+spareGoroutines {
		s.t.Errorf("%d goroutines are left: %v; in a process that saw little it is %d: %v", got, origins, want, usual)
	}
}

// since is a duration in words that can be read.
func since(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
