package test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
	"github.com/pillion-lb/pillion/test/internal/otlp"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// watchword is the status token.
const watchword = "test-token-0123456789"

// metricsText is all metrics of the process as Prometheus text.
func metricsText(t *testing.T, url string) string {
	t.Helper()
	a := get(t, newClient(t), url+"/.lb/metrics", "Authorization", "Bearer "+watchword)
	wantStatus(t, a, http.StatusOK)
	return a.Text
}

// sum adds up the series whose name and labels begin with prefix.
func sum(text, prefix string) (total int64) {
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && strings.HasPrefix(name, prefix) {
			n, _ := strconv.ParseFloat(value, 64)
			total += int64(n)
		}
	}
	return total
}

// cpu returns the CPU time that a process has used.
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Skip("no /proc: ", err)
	}

	_, rest, _ := strings.Cut(string(raw), ") ")
	fields := strings.Fields(rest)
	return time.Duration(number(fields[11])+number(fields[12])) * time.Second / 100
}

// pour sends requests at a fixed rate for a while, over as many connections as
// needed, and returns their number. None may fail.
func pour(t *testing.T, url string) int64 {
	t.Helper()
	rate, during := 500, 3*time.Second
	if *telemetryFull {
		rate, during = 2000, time.Minute
	}

	const callers = 20
	client := newClient(t)
	var made atomic.Int64
	var failures await.Values[string]
	var running sync.WaitGroup

	for range callers {
		running.Go(func() {
			tick := time.NewTicker(time.Duration(callers) * time.Second / time.Duration(rate))
			defer tick.Stop()
			for end := time.Now().Add(during); time.Now().Before(end); <-tick.C {
				made.Add(1)
				response, err := client.Get(url)
				if err != nil {
					failures.Add(err.Error())
					continue
				}

				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
				if response.StatusCode != http.StatusOK {
					failures.Add(response.Status)
				}
			}
		})
	}

	running.Wait()
	if all := failures.All(); len(all) > 0 {
		t.Errorf("%d of %d requests failed: %q", len(all), made.Load(), all[:min(3, len(all))])
	}

	return made.Load()
}

// A collector that hangs, refuses, asks to be left alone or breaks costs no
// request, and what it costs is counted: when it is back, every span either
// arrived or is in the count.
func TestTelemetry_AFailingCollectorCostsSpansThatAreCounted(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct {
		instead http.HandlerFunc
		drops   bool
	}{
		"hangs":   {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, true},
		"refuses": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, true},
		"breaks":  {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, true},
		"busy": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		}, true},
		"works": {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			if !*telemetryFull { // the whole rate takes the whole machine
				t.Parallel()
			}

			receiver := otlp.Start(t)
			receiver.Instead(fault.instead)
			p := counted(t, receiver)
			before, spent := resident(t, p.PID()), cpu(t, p.PID())
			made := pour(t, p.URL("/"))
			t.Logf("%v of CPU and %d bytes of memory for %d requests", cpu(t, p.PID())-spent, resident(t, p.PID())-before, made)
			wantBounded(t, p, before)
			receiver.Instead(nil)
			dropped := wantAccount(t, p, receiver, 2*made)
			if fault.drops {
				wantSaidOnce(t, p)
			}

			if fault.drops && dropped == 0 {
				t.Error("no span was dropped")
			}
		})
	}
}

// counted is a proxy that exports through a small queue and shows its metrics.
func counted(t *testing.T, receiver *otlp.Receiver) *binary.Process {
	t.Helper()
	b := backend.Start(t, "one", nil)
	env := append(receiver.Environment(), backend.Backends(b), "LB_STATUS_TOKEN="+watchword,
		"OTEL_METRICS_EXPORTER=prometheus",
		"OTEL_BSP_MAX_QUEUE_SIZE=512", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=128", "OTEL_BSP_EXPORT_TIMEOUT=1500")
	return pillion.Start(t, env...)
}

// wantAccount waits until every span has arrived or was dropped, and returns
// how many were dropped.
func wantAccount(t *testing.T, p *binary.Process, receiver *otlp.Receiver, spans int64) (dropped int64) {
	t.Helper()
	if !await.Within(await.Limit, func() bool {
		dropped = sum(metricsText(t, p.URL("")), "lb_telemetry_spans_dropped")
		return int64(receiver.Len())+dropped >= spans
	}) || int64(receiver.Len())+dropped != spans {
		t.Errorf("%d spans arrived and %d were dropped, of %d", receiver.Len(), dropped, spans)
	}

	t.Logf("%d spans, %d arrived, %d dropped", spans, receiver.Len(), dropped)
	return dropped
}

func wantBounded(t *testing.T, p *binary.Process, before int64) {
	t.Helper()
	const most = 48 << 20
	if grown := resident(t, p.PID()) - before; grown > most && !binary.Race {
		t.Errorf("the process grew by %d bytes, want at most %d", grown, most)
	}
}

// wantSaidOnce fails unless the log says that exports fail, once for each time
// that it began.
func wantSaidOnce(t *testing.T, p *binary.Process) {
	t.Helper()
	p.Line("about the failure", func(l binary.Line) bool { return l.String("message") == "spans cannot be exported" })

	broken, again := 0, 0
	for _, l := range p.Lines() {
		switch l.String("message") {
		case "spans cannot be exported":
			broken++
		case "spans are exported again":
			again++
		}
	}

	if broken > again+1 || broken > 3 {
		t.Errorf("the failure was said %d times, and its end %d times", broken, again)
	}
}

// A collector that nobody has started yet is refused by the kernel; when it is
// there, it gets what is kept.
func TestTelemetry_ALateCollectorGetsWhatIsKept(t *testing.T) {
	t.Parallel()
	address, listen := absent(t)
	b := backend.Start(t, "one", nil)
	p := pillion.Start(t, backend.Backends(b), "LB_STATUS_TOKEN="+watchword, "OTEL_METRICS_EXPORTER=prometheus",
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://"+address+"/v1/traces", "OTEL_BSP_MAX_QUEUE_SIZE=512",
		"OTEL_BSP_EXPORT_TIMEOUT=60000")
	made := pour(t, p.URL("/"))
	receiver := otlp.StartAt(t, listen())
	if dropped := wantAccount(t, p, receiver, 2*made); dropped == 0 {
		t.Error("a queue of 512 kept everything")
	}

	if receiver.Len() < 512 {
		t.Errorf("%d spans were kept, want those in the queue", receiver.Len())
	}
}

// Spans that wait for a collector are bounded in number, and so is each of
// them, however much a client says.
func TestTelemetry_LongRequestsDoNotFillTheMemory(t *testing.T) {
	t.Parallel()
	p, _, receiver := traced(t)
	c, from, long := wire.Dial(t, p.Address), newCaller(), strings.Repeat("q", 30_000)

	visit := func(fields ...string) {
		c.Get("/?"+long, append(fields, "Cookie: a="+long)...)
		if r, _ := c.Response(http.MethodGet); r.StatusCode != http.StatusOK {
			t.Fatalf("status %d", r.StatusCode)
		}
	}
	visit("Traceparent: " + from.Field())
	servers, clients := otlp.Split(receiver.Trace(t, from.Trace, 2))
	query, _ := servers[0].Attributes["url.query"].(string)
	full, _ := clients[0].Attributes["url.full"].(string)
	if n, m := len(query), len(full); n != 4<<10 || m < n || m > 2*n {
		t.Errorf("of a query of %d bytes the spans keep %d and %d", len(long), n, m)
	}

	receiver.Instead(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	before := resident(t, p.PID())
	for range 4000 {
		visit()
	}

	wantBounded(t, p, before)
}
