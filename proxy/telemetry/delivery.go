package telemetry

import (
	"context"
	"errors"
	"net/url"
	"reflect"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

const (
	// firstPause and longestPause bound the wait before a collector that refused the connection is asked again.
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
	// frozenSlack is by how much a time limit is overrun before we say that the process did not run meanwhile.
	frozenSlack = 500 * time.Millisecond
	// slowExport is how long an export may take until the log says so.
	slowExport = 5 * time.Second
)

var errSlow = errors.New("the collector has accepted nothing for " + slowExport.String())

// delivery hands batches to an exporter and keeps the account of what was lost. One goroutine at a time uses it.
type delivery struct {
	exporter sdktrace.SpanExporter
	resource *lateResource
	health   *health
	dropped  *atomic.Int64
	spans    []resourceSpan
	batch    []sdktrace.ReadOnlySpan
}

// resourceSpan is a span of a resource that was known only after its provider was made.
type resourceSpan struct {
	sdktrace.ReadOnlySpan
	resource *resource.Resource
}

// Resource is what produced the span.
func (s *resourceSpan) Resource() *resource.Resource { return s.resource }

// deliver exports a batch and reports whether it is settled: delivered, or lost and counted. It is not when ctx was
// cancelled meanwhile. timeout bounds all attempts together.
func (d *delivery) deliver(ctx context.Context, batch []sdktrace.ReadOnlySpan, timeout time.Duration) bool {
	if len(batch) == 0 {
		return true
	}
	defer time.AfterFunc(slowExport, func() { d.health.failing(errSlow) }).Stop()
	err := d.persist(ctx, d.complete(ctx, batch), timeout)
	if err == nil {
		d.health.working(d.dropped.Load())
		return true
	}
	if ctx.Err() != nil {
		return false
	}
	d.dropped.Add(lost(err, len(batch)))
	d.health.failing(err)
	return true
}

// complete gives the spans their full resource.
func (d *delivery) complete(ctx context.Context, batch []sdktrace.ReadOnlySpan) []sdktrace.ReadOnlySpan {
	full := d.resource.await(ctx)
	if full == nil {
		return batch
	}
	d.spans, d.batch = d.spans[:0], d.batch[:0]
	for _, span := range batch {
		d.spans = append(d.spans, resourceSpan{span, full})
	}
	for i := range d.spans {
		d.batch = append(d.batch, &d.spans[i])
	}
	return d.batch
}

// persist exports until it worked, failed for good, or time is up. The exporter's own retries answer what a collector
// says; ours answer a connection that is refused, or that broke unseen while the process was frozen.
func (d *delivery) persist(ctx context.Context, batch []sdktrace.ReadOnlySpan, timeout time.Duration) error {
	begun, pause, thawed := time.Now(), time.Duration(0), false
	for {
		err := d.attempt(ctx, batch, timeout-time.Since(begun))
		if err == nil || ctx.Err() != nil {
			return err
		}
		elapsed := time.Since(begun)
		if elapsed > timeout+frozenSlack && !thawed {
			begun, thawed = time.Now(), true
			continue
		}
		if !connectionFailed(err) || elapsed+pause >= timeout {
			return err
		}
		if pause > 0 {
			d.health.failing(err)
		}
		if !sleep(ctx, pause) {
			return err
		}
		pause = min(max(2*pause, firstPause), longestPause)
	}
}

func (d *delivery) attempt(ctx context.Context, batch []sdktrace.ReadOnlySpan, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return d.exporter.ExportSpans(ctx, batch)
}

// connectionFailed reports whether an export failed before the collector said anything. Exporters over gRPC answer
// that themselves.
func connectionFailed(err error) bool {
	_, ok := errors.AsType[*url.Error](err)
	return ok
}

// lost is how many of n items an error stands for: all, unless the collector took some. The exporters' type for that
// (PartialSuccess) is internal to each of them; it is known by its methods, and its count by the field's name.
func lost(err error, n int) int64 {
	partial, ok := errors.AsType[interface {
		error
		As(any) bool
		Is(error) bool
	}](err)
	if !ok {
		return int64(n)
	}
	rejected := reflect.Indirect(reflect.ValueOf(partial))
	if rejected.Kind() == reflect.Struct {
		if field := rejected.FieldByName("RejectedItems"); field.IsValid() && field.CanInt() {
			return field.Int()
		}
	}
	return int64(n)
}

// sleep waits and reports whether it was left in peace.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
