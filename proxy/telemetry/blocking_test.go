package telemetry

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// failures are the ways in which a collector fails those who export to it.
var failures = map[string]func(context.Context, int) error{
	"hangs":   func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() },
	"refuses": func(context.Context, int) error { return errors.New("refused") },
	"is slow": func(context.Context, int) error { time.Sleep(time.Millisecond); return nil },
}

// busyLimits are those of a queue that is soon full.
var busyLimits = limits{queue: 64, batch: 16, delay: longestWait, timeout: time.Second}

// The telemetry of a request makes the same number of allocations whether its
// spans arrive at the collector or not: for a lost span, nothing is kept,
// nothing is logged and no goroutine is started. The count includes the
// allocations of the exports.
func TestProcessor_AFailingCollectorCostsARequestNoAllocation(t *testing.T) {
	cost := func(export func(context.Context, int) error) float64 {
		tracing := tracingTo(keepless(export), busyLimits)
		defer work(t, tracing)()
		return testing.AllocsPerRun(5000, func() { request(tracing) })
	}
	works := cost(func(context.Context, int) error { return nil })
	for name, failure := range failures {
		if n := cost(failure); n > works {
			t.Errorf("a collector that %s: %v allocations for a request, want %v as with one that works", name, n, works)
		}
	}
}

// keepless is an exporter that keeps nothing.
type keepless func(context.Context, int) error

func (e keepless) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	return e(ctx, len(spans))
}

func (keepless) Shutdown(context.Context) error { return nil }

// The block profile holds every wait of a goroutine for a channel or a lock.
// With a collector that fails there is none below a request.
func TestProcessor_NoRequestWaitsForAFailingCollector(t *testing.T) {
	runtime.SetBlockProfileRate(1)
	defer runtime.SetBlockProfileRate(0)
	for name, failure := range failures {
		tracing := tracingTo(keepless(failure), busyLimits)
		stop := work(t, tracing)
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for range 1000 {
					request(tracing)
				}
			})
		}
		group.Wait()
		stop()
		if tracing.Dropped() == 0 {
			t.Errorf("a collector that %s: nothing was dropped, so the queue was never full", name)
		}
		if stack := blockedBelow("telemetry.request"); stack != "" {
			t.Fatalf("a collector that %s: a request waited in\n%s", name, stack)
		}
	}
}

// blockedBelow is the first stack in the block profile that holds the function,
// "" if there is none.
func blockedBelow(function string) string {
	n, _ := runtime.BlockProfile(nil)
	records := make([]runtime.BlockProfileRecord, n+64)
	n, _ = runtime.BlockProfile(records)
	for _, r := range records[:n] {
		frames := runtime.CallersFrames(r.Stack())
		var names []string
		for more := true; more; {
			var f runtime.Frame
			f, more = frames.Next()
			names = append(names, f.Function)
		}
		stack := strings.Join(names, "\n")
		ours := !strings.Contains(stack, "runtime.mallocgc\n") // else it is the garbage collector that is waited for
		if ours && strings.Contains(stack, function+"\n") {
			return stack
		}
	}
	return ""
}

// BenchmarkSampledRequest is what a request's two spans cost, with a collector
// that works and with those that fail.
func BenchmarkSampledRequest(b *testing.B) {
	b.Run("works", func(b *testing.B) { sampledRequests(b, func(context.Context, int) error { return nil }) })
	for name, failure := range failures {
		b.Run(name, func(b *testing.B) { sampledRequests(b, failure) })
	}
}

func sampledRequests(b *testing.B, export func(context.Context, int) error) {
	tracing := tracingTo(keepless(export), limits{queue: 2048, batch: 512, delay: longestWait, timeout: time.Second})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go tracing.processor.run(ctx)
	b.ReportAllocs()
	for b.Loop() {
		tracing.RequestStarted()
		ctx, server := tracing.Start(trace.SpanContext{}, traceID, "GET", time.Now(), attributes...)
		_, client := tracing.Tracer().Start(ctx, "GET", clientKind, trace.WithAttributes(attributes...))
		client.End()
		server.End()
		tracing.RequestEnded()
	}
}
