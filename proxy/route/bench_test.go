package route

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// thousand is a table of 1,000 items: hosts, prefixes, exact paths, methods.
func thousand(tb testing.TB) *Table {
	tb.Helper()
	var rules []string
	for n := range 250 {
		rules = append(rules, fmt.Sprintf("r%d=h%d.example.com;*.w%d.example.com/x/*;/api/v%d/*;/exact/%d/page?method=GET", n,
			n, n, n, n))
	}
	rules = append(rules, "rest=/*")

	return compiled(tb, ByRequest, rules...)
}

var asked = []string{
	"GET h17.example.com/some/path/of/usual/length.html", "GET a.w17.example.com/x/y",
	"GET example.com/api/v249/users/12345", "GET example.com/exact/17/page", "GET example.com/assets/app.1f2e3d.js",
}

func BenchmarkFind(b *testing.B) {
	table := thousand(b)
	for _, line := range append(asked, "GET example.com/api/v1/group%2Fname/..%2fx") {
		_, name, _ := strings.Cut(line, " ")
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			q := ask(b, line)
			for b.Loop() {
				if _, err := table.Find(q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestFind_AllocatesNothing(t *testing.T) {
	table := thousand(t)
	for _, line := range append(asked, "GET example.com/api/v1/group%2Fname/..%2fx") {
		q := ask(t, line, "Cookie: a=b; c=d")
		method, host, path, header := q.Method, q.Host, q.Path, q.Header
		if n := testing.AllocsPerRun(100, func() {
			q.Reset()
			q.Method, q.Host, q.Path, q.Header = method, host, path, header
			table.Find(q)
		}); n > 0 {
			t.Errorf("%s: %v allocations", line, n)
		}
	}
}

// A long path leaves no memory behind.
func TestRequest_KeepsNoLargeBuffer(t *testing.T) {
	q := &Request{Host: strings.Repeat("a", 60_000), Path: "/" + strings.Repeat("%2f", 20_000)}
	if _, err := thousand(t).Find(q); err != nil {
		t.Fatal(err)
	}
	q.Reset()
	if cap(q.host)+cap(q.path)+cap(q.other) > 3*keptMemory {
		t.Errorf("%d, %d and %d bytes are kept", cap(q.host), cap(q.path), cap(q.other))
	}
}

// What a client sends costs in proportion to its length, whatever it is.
func TestFind_IsLinear(t *testing.T) {
	table := compiled(t, ByRequest, "a=/a/*?query.q=1&cookie.c=1", "b=/a/b/c/*", "c=*.a.com", "d=/%e4/*", "e=/*")
	for _, unit := range []string{"/a", "%2F..", `\..;x/`, "/a%2f%2e%2e", "//", "/.", "%25"} {
		cost := func(n int) time.Duration {
			q := &Request{Method: "GET", Host: strings.Repeat("a.", n) + "com", Path: "/" + strings.Repeat(unit, n),
				Query: strings.Repeat("%71=2&", n), Header: http.Header{"Cookie": {strings.Repeat("c=2; ", n)}}}
			table.Find(q)
			least := time.Hour
			for range 5 {
				begun := processorTime()
				for range 4 {
					table.Find(q)
				}
				least = min(least, processorTime()-begun)
			}

			return least
		}
		if small, large := cost(1000), cost(8000); large > 24*small+time.Millisecond {
			t.Errorf("%q: %v for 1,000 of them, %v for 8,000", unit, small, large)
		}
	}
}

// processorTime is what the process has had of its processors, which unlike the
// wall's time does not depend on who else uses the machine.
func processorTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}

	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
