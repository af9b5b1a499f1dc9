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

// token is the bearer token for the program's metrics.
const token = "a-long-random-word"

// measured has variables with which the program can be measured. It exports
// metrics, prints the live heap after each garbage collection, and closes
// connections to backends after a second.
var measured = []string{"LB_STATUS_TOKEN=" + token, "OTEL_METRICS_EXPORTER=prometheus", "GODEBUG=gctrace=1",
	"LB_IDLE_CONN_TIMEOUT=1s"}

// subject is a process that a test measures.
type subject struct {
	*binary.Process
	t *testing.T
}

func start(t *testing.T, env ...string) *subject {
	t.Helper()
	return &subject{pillion.Start(t, append(slices.Clone(measured), env...)...), t}
}

// level is what a process has in use.
type level struct {
	Descriptors int
	Resident    int // KiB
	Heap        int // MiB that survived the last garbage collection
	Threads     int
	CPU         time.Duration // used so far
}

func (l level) String() string {
	return fmt.Sprintf("%d descriptors, %d KiB resident, %d MiB live heap, %d threads, %v of CPU used", l.Descriptors,
		l.Resident, l.Heap, l.Threads, l.CPU)
}

// now returns the present level.
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

// status returns a number in /proc/PID/status.
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

// processor returns the CPU time that the process has used. Linux shows it in
// ticks of 10 ms.
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

// survived matches the live heap in a line of gctrace: "gc 7 @1.2s 0%: … ,
// 4->5->2 MB, …".
var survived = regexp.MustCompile(`(?m)^gc \d+ @.* \d+->\d+->(\d+) MB`)

// collections returns the live heap after each garbage collection, in MiB.
func (s *subject) collections() []int {
	var all []int
	for _, found := range survived.FindAllStringSubmatch(s.Printed(), -1) {
		n, _ := strconv.Atoi(found[1])
		all = append(all, n)
	}
	return all
}

// settle waits until nothing is open and the garbage of the traffic is
// collected. Memory with finalizers needs two collections. settle causes them
// by requests with large heads, all on one connection.
func (s *subject) settle() level {
	s.t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: await.Limit}
	await.Until(s.t, "nothing is in progress", func() bool {
		// the request for the metrics is not counted
		return s.metric(client, "lb_tunnels") == 0 && s.metric(client, "lb_endpoint_in_flight") == 0 &&
			s.metric(client, "http_server_active_requests") == 0
	})
	wanted := len(s.collections()) + 3

	await.Until(s.t, "the garbage is collected", func() bool {
		for range 50 {
			s.read(client, "/.lb/ready", strings.Repeat("x", 30<<10))
		}
		return len(s.collections()) >= wanted
	})
	await.Until(s.t, "no connection to a backend is left",
		func() bool { return s.metric(client, "lb_pool_connections") == 0 })

	return s.now()
}

// metric returns the sum of a metric over its attributes.
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

// read returns the answer of one of the program's status paths.
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

// How far a process may be from its level. The runtime has descriptors of its
// own, and pairs of pipes wait for the next splice(2). The live heap is
// measured in whole MiB, and pools keep what a busier moment needed. Resident
// memory varies with garbage, which is collected after 16 MiB, and with pages
// that the runtime keeps.
const (
	spareDescriptors = 4
	spareHeap        = 4        // MiB
	spareResident    = 24 << 10 // KiB
)

// wantLevel waits until the process is back at a level. Memory goes back to the
// kernel gradually, after the collections of settle. The race detector's own
// memory only grows, so resident memory is not checked with it.
func (s *subject) wantLevel(before level) level {
	s.t.Helper()
	after := s.settle()
	if !await.Within(4*await.Limit, func() bool {
		after = s.now()
		return after.Descriptors <= before.Descriptors+spareDescriptors && after.Heap <= before.Heap+spareHeap &&
			(binary.Race || after.Resident <= before.Resident+spareResident)
	}) {
		s.t.Errorf("level after the traffic: %v, want about %v, as before it", after, before)
	}

	return after
}

// goroutine matches the first line of a goroutine's stack. Number 0 is the
// scheduler's.
var goroutine = regexp.MustCompile(`(?m)^goroutine ([1-9]\d*) .*\[`)

// origin matches the line that names where a goroutine was started.
var origin = regexp.MustCompile(`(?m)^created by (\S+)`)

// spareGoroutines is how many more goroutines one process may have than another
// that does the same. The runtime and net/http start some when they are needed,
// and end them later.
const spareGoroutines = 4

// quit ends the process with SIGQUIT. It returns the number of goroutines, and
// how many of them each function had started.
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

// wantGoroutines ends both processes and compares their goroutines.
func (s *subject) wantGoroutines(control *subject) {
	s.t.Helper()
	want, usual := control.quit()
	got, origins := s.quit()
	s.t.Logf("%d goroutines; %d in a process that saw little", got, want)
	if got > want+spareGoroutines {
		s.t.Errorf("%d goroutines are left: %v; in a process that saw little it is %d: %v", got, origins, want, usual)
	}
}

// since rounds a duration for messages.
func since(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
