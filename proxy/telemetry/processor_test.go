package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// fakeExporter records batches. export, when set, decides what becomes of each.
type fakeExporter struct {
	export func(ctx context.Context, n int) error

	mu      sync.Mutex
	batches []int
	seen    map[trace.SpanID]int
	calls   int
	closed  bool
}

func (e *fakeExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	e.mu.Lock()
	e.calls++
	e.mu.Unlock()
	if e.export != nil {
		if err := e.export(ctx, len(spans)); err != nil {
			return err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.batches = append(e.batches, len(spans))
	if e.seen == nil {
		e.seen = map[trace.SpanID]int{}
	}
	for _, span := range spans {
		e.seen[span.SpanContext().SpanID()]++
	}
	return nil
}

func (e *fakeExporter) Shutdown(context.Context) error {
	e.closed = true
	return nil
}

func (e *fakeExporter) delivered() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.seen)
}

var testLimits = limits{queue: 64, batch: 16, delay: longestWait, timeout: 30 * time.Second}

func tracingTo(e sdktrace.SpanExporter, l limits) *Tracing {
	p := newProcessor(l, &delivery{
		exporter: e,
		resource: newLateResource(resource.Empty(), false),
		failure:  &lastFailure{},
		health:   &health{logger: slog.New(slog.DiscardHandler)},
	})
	return newTracing(sampler{root: always}, p, resource.Empty(), "")
}

// work runs the worker; stop ends it and waits for it.
func work(t *testing.T, tracing *Tracing) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { tracing.processor.run(ctx); close(ended) }()
	stop = sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(stop)
	return stop
}

// bubble runs a test in virtual time with a worker.
func bubble(t *testing.T, e *fakeExporter, l limits, test func(t *testing.T, tracing *Tracing, stop func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		tracing := tracingTo(e, l)
		stop := work(t, tracing)
		synctest.Wait()
		test(t, tracing, stop)
		stop()
	})
}

func endSpan(tracing *Tracing) {
	_, s := tracing.Start(trace.SpanContext{}, traceID, "GET", time.Now())
	s.End()
}

func request(tracing *Tracing) {
	tracing.RequestStarted()
	endSpan(tracing)
	tracing.RequestEnded()
}

func TestProcessor_SpansLeaveWithTheLastRequestInFlight(t *testing.T) {
	t.Parallel()
	e := &fakeExporter{}
	bubble(t, e, testLimits, func(t *testing.T, tracing *Tracing, _ func()) {
		tracing.RequestStarted()
		request(tracing)
		synctest.Wait()
		if n := e.delivered(); n != 0 {
			t.Errorf("%d spans left while a request was in flight", n)
		}
		endSpan(tracing)
		tracing.RequestEnded()
		synctest.Wait() // no time passes: the CPU stops here
		if n := e.delivered(); n != 2 || len(e.batches) != 1 {
			t.Errorf("%d spans left in batches %v, want 2 in one", n, e.batches)
		}
	})
}

func TestProcessor_OneClientWithoutPausesDoesNotCauseAnExportPerRequest(t *testing.T) {
	t.Parallel()
	e := &fakeExporter{}
	bubble(t, e, limits{queue: 2048, batch: 512, delay: longestWait, timeout: time.Second},
		func(t *testing.T, tracing *Tracing, _ func()) {
			for range 200 {
				request(tracing)
				time.Sleep(100 * time.Microsecond)
			}
			time.Sleep(idleGap)
			synctest.Wait()
			if n := e.delivered(); n != 200 || len(e.batches) > 6 {
				t.Errorf("%d spans in %d exports", n, len(e.batches))
			}
		})
}

func TestProcessor_SpansOfALongRequestLeaveAfterTheLongestWait(t *testing.T) {
	t.Parallel()
	e := &fakeExporter{}
	bubble(t, e, testLimits, func(t *testing.T, tracing *Tracing, _ func()) {
		tracing.RequestStarted()
		endSpan(tracing)
		time.Sleep(longestWait - 1)
		synctest.Wait()
		before := e.delivered()
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if n := e.delivered(); before != 0 || n != 1 {
			t.Errorf("%d spans before the wait is over and %d after, want 0 and 1", before, n)
		}
	})
}

func TestProcessor_FullBatchLeavesAtOnce(t *testing.T) {
	t.Parallel()
	e := &fakeExporter{}
	bubble(t, e, testLimits, func(t *testing.T, tracing *Tracing, _ func()) {
		tracing.RequestStarted()
		for range testLimits.batch + 1 {
			endSpan(tracing)
		}
		synctest.Wait()
		if len(e.batches) != 1 || e.batches[0] != testLimits.batch {
			t.Errorf("batches %v, want one of %d", e.batches, testLimits.batch)
		}
	})
}

func TestProcessor_WhatAFullQueueDropsIsCountedExactly(t *testing.T) {
	t.Parallel()
	e := &fakeExporter{}
	bubble(t, e, testLimits, func(t *testing.T, tracing *Tracing, _ func()) {
		hang := make(chan struct{})
		e.export = func(context.Context, int) error { <-hang; return nil }
		const ended = 300
		for range ended {
			request(tracing)
			synctest.Wait()
		}
		dropped := tracing.Dropped()
		if want := int64(ended - testLimits.queue - 1); dropped != want {
			t.Errorf("%d spans dropped, want %d: one is on its way, %d wait", dropped, want, testLimits.queue)
		}
		close(hang)
		synctest.Wait()
		time.Sleep(time.Second)
		synctest.Wait()
		if n := e.delivered(); int64(n)+tracing.Dropped() != ended || tracing.Dropped() != dropped {
			t.Errorf("%d delivered and %d dropped of %d", n, tracing.Dropped(), ended)
		}
	})
}

func TestProcessor_LostBatchesAreCountedExactly(t *testing.T) {
	t.Parallel()
	turn := 0
	e := &fakeExporter{export: func(context.Context, int) error {
		if turn++; turn%2 == 0 {
			return errors.New("refused for good")
		}
		return nil
	}}
	bubble(t, e, testLimits, func(t *testing.T, tracing *Tracing, _ func()) {
		for range 100 {
			request(tracing)
			time.Sleep(3 * time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n, lost := e.delivered(), tracing.Dropped(); n+int(lost) != 100 || lost == 0 {
			t.Errorf("%d delivered and %d dropped of 100", n, lost)
		}
	})
}

func TestProcessor_ExportThatWasFrozenIsRepeated(t *testing.T) {
	t.Parallel()
	first := true
	e := &fakeExporter{export: func(ctx context.Context, _ int) error {
		if first {
			first = false
			time.Sleep(10 * time.Minute) // the process stands still; then all its time limits are over
		}
		return ctx.Err()
	}}
	bubble(t, e, testLimits, func(t *testing.T, tracing *Tracing, _ func()) {
		request(tracing)
		time.Sleep(10*time.Minute + time.Second)
		synctest.Wait()
		if n := e.delivered(); n != 1 || tracing.Dropped() != 0 {
			t.Errorf("%d spans delivered, %d dropped, want 1 and 0", n, tracing.Dropped())
		}
	})
}

func TestProcessor_HungExportEndsWithItsTimeLimit(t *testing.T) {
	t.Parallel()
	e := &fakeExporter{export: func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }}
	bubble(t, e, testLimits, func(t *testing.T, tracing *Tracing, _ func()) {
		request(tracing)
		time.Sleep(testLimits.timeout + time.Millisecond)
		synctest.Wait()
		if e.calls != 1 || tracing.Dropped() != 1 {
			t.Errorf("%d attempts, %d spans dropped, want 1 and 1", e.calls, tracing.Dropped())
		}
	})
}

func TestProcessor_ShutdownDeliversWhatWaits(t *testing.T) {
	t.Parallel()
	e := &fakeExporter{}
	tracing := tracingTo(e, testLimits)
	for range 50 {
		endSpan(tracing)
	}
	if err := tracing.shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	endSpan(tracing)
	if e.delivered() != 50 || !e.closed {
		t.Errorf("%d spans delivered, exporter closed %v, want 50 and true", e.delivered(), e.closed)
	}
}

func TestProcessor_ShutdownEndsInTimeAndCountsTheRest(t *testing.T) {
	t.Parallel()
	e := &fakeExporter{export: func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }}
	bubble(t, e, testLimits, func(t *testing.T, tracing *Tracing, _ func()) {
		for range 40 {
			request(tracing)
		}
		synctest.Wait() // the worker hangs in an export
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if err := tracing.shutdown(ctx); err == nil {
			t.Error("no error says that spans were lost")
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("Shutdown took %v", took)
		}
		if tracing.Dropped() != 40 {
			t.Errorf("%d spans dropped, want 40", tracing.Dropped())
		}
	})
}

func TestProcessor_BatchUnderWayAtTheStopIsDeliveredOnce(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]time.Duration{"soon": stopGrace / 2, "too late": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := true
			e := &fakeExporter{export: func(ctx context.Context, _ int) error {
				if first {
					first = false
					if !sleep(ctx, answer) {
						return ctx.Err()
					}
				}
				return nil
			}}
			bubble(t, e, testLimits, func(t *testing.T, tracing *Tracing, stop func()) {
				request(tracing)
				synctest.Wait()
				stop()
				if err := tracing.shutdown(t.Context()); err != nil {
					t.Error(err)
				}
				for id, n := range e.seen {
					if n != 1 {
						t.Errorf("span %v was delivered %d times", id, n)
					}
				}
				if e.delivered() != 1 || tracing.Dropped() != 0 {
					t.Errorf("%d spans delivered, %d dropped, want 1 and 0", e.delivered(), tracing.Dropped())
				}
			})
		})
	}
}

func TestProcessor_ManyRequestsAtOnceLoseAndRepeatNothing(t *testing.T) {
	t.Parallel()
	e := &fakeExporter{}
	tracing := tracingTo(e, limits{queue: 1 << 14, batch: 512, delay: longestWait, timeout: time.Second})
	stop := work(t, tracing)
	var group sync.WaitGroup
	const talkers, each = 4, 1000
	for range talkers {
		group.Go(func() {
			for range each {
				request(tracing)
			}
		})
	}
	group.Wait()
	stop()
	if err := tracing.shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, n := range e.batches {
		sum += n
	}
	if e.delivered() != talkers*each || sum != talkers*each {
		t.Errorf("%d spans delivered, %d different ones, want %d", sum, e.delivered(), talkers*each)
	}
}
