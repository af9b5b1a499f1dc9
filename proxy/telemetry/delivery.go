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
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// firstPause and longestPause bound the wait before another try, after a
	// collector has refused the connection.
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
	// frozenSlack is how far a time limit must be exceeded to conclude that the
	// process was stopped meanwhile.
	frozenSlack = 500 * time.Millisecond
	// slowExport is how long an export may take before it is logged as slow.
	slowExport = 5 * time.Second
)

var errSlow = errors.New("the collector has accepted nothing for " + slowExport.String())

// delivery gives batches to an exporter and counts lost spans. It is used by
// one goroutine at a time.
type delivery struct {
	exporter sdktrace.SpanExporter
	resource *lateResource
	failure  *lastFailure
	health   *health
	dropped  *atomic.Int64
	spans    []resourceSpan
	batch    []sdktrace.ReadOnlySpan
}

// resourceSpan is a span with a resource that became known after its provider
// was made.
type resourceSpan struct {
	sdktrace.ReadOnlySpan
	resource *resource.Resource
}

// Resource returns the complete resource.
func (s *resourceSpan) Resource() *resource.Resource { return s.resource }

// deliver exports a batch. It reports whether the batch is finished: delivered,
// or lost and counted. It reports false if ctx was cancelled. timeout bounds
// all tries together.
func (d *delivery) deliver(ctx context.Context, batch []sdktrace.ReadOnlySpan,
	timeout time.Duration) bool {
	if len(batch) == 0 {
		return true
	}

	defer time.AfterFunc(slowExport, func() { d.health.failing(d.failure.explain(errSlow)) }).Stop()
	err := d.persist(ctx, d.complete(ctx, batch), timeout)
	if err == nil {
		d.health.working(d.dropped.Load())
		return true
	}

	if ctx.Err() != nil {
		return false
	}

	d.dropped.Add(lost(err, len(batch)))
	d.health.failing(d.failure.explain(err))
	return true
}

// complete gives the spans their complete resource.
func (d *delivery) complete(ctx context.Context,
	batch []sdktrace.ReadOnlySpan) []sdktrace.ReadOnlySpan {
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

// persist repeats an export until it succeeds, fails permanently, or the time
// is over. The exporter itself retries by the answers of a collector. persist
// retries after a refused connection, and after one that broke unnoticed while
// the process was frozen.
func (d *delivery) persist(ctx context.Context, batch []sdktrace.ReadOnlySpan,
	timeout time.Duration) error {
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

		if !mayPass(err) || elapsed+pause >= timeout {
			return err
		}

		if pause > 0 {
			d.health.failing(d.failure.explain(err))
		}

		if !sleep(ctx, pause) {
			return err
		}

		pause = min(max(2*pause, firstPause), longestPause)
	}
}

func (d *delivery) attempt(ctx context.Context, batch []sdktrace.ReadOnlySpan,
	timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return d.exporter.ExportSpans(ctx, batch)
}

// mayPass reports whether another try may succeed: the connection failed, or
// OTEL_EXPORTER_OTLP_TIMEOUT ended the exporter's own tries while the export as
// a whole still has time.
func mayPass(err error) bool {
	return connectionFailed(err) || errors.Is(err, context.DeadlineExceeded) || ranOut(err) ||
		status.Code(err) == codes.Unavailable
}

// connectionFailed reports whether an export by HTTP failed before the
// collector answered.
func connectionFailed(err error) bool {
	_, ok := errors.AsType[*url.Error](err)
	return ok
}

// lost returns how many of n items were lost: all, unless the collector
// accepted some. The exporters' error type for that (PartialSuccess) is
// internal to each of them, so it is recognised by its methods, and its count
// by the name of the field.
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

// sleep waits, and reports false if ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
