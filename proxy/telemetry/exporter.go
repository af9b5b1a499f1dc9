package telemetry

import (
	"cmp"
	"context"
	"io"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/pillion-lb/pillion/config"
)

// newSpanExporter makes the exporter that the environment asks for. It asks nobody on the network. What
// OTEL_EXPORTER_OTLP_* say is read by OpenTelemetry's own exporters, but for the endpoint's default: the
// specification's is clear text on this machine, theirs is TLS.
func newSpanExporter(ctx context.Context, t config.Telemetry, stdout io.Writer) (sdktrace.SpanExporter, error) {
	if t.TracesExporter == "console" {
		return console{stdout}, nil
	}
	if t.TracesProtocol == "grpc" {
		var insecure []otlptracegrpc.Option
		if !t.TracesEndpoint {
			insecure = append(insecure, otlptracegrpc.WithInsecure())
		}
		return newGRPCExporter(ctx, insecure...)
	}
	var insecure []otlptracehttp.Option
	if !t.TracesEndpoint {
		insecure = append(insecure, otlptracehttp.WithInsecure())
	}
	return newHTTPExporter(ctx, insecure...)
}

// newHTTPExporter makes an exporter whose own retries, which obey what a collector says, go on until the time limit of
// the export ends them.
func newHTTPExporter(ctx context.Context, options ...otlptracehttp.Option) (sdktrace.SpanExporter, error) {
	return newEncodedExporter(ctx, otlptracehttp.NewClient(append(options, otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
		Enabled: true, InitialInterval: firstPause, MaxInterval: longestPause,
	}))...))
}

// newGRPCExporter is newHTTPExporter over gRPC.
func newGRPCExporter(ctx context.Context, options ...otlptracegrpc.Option) (sdktrace.SpanExporter, error) {
	return newEncodedExporter(ctx, otlptracegrpc.NewClient(append(options, otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{
		Enabled: true, InitialInterval: firstPause, MaxInterval: longestPause,
	}))...))
}

// mostQueued bounds the queue, which is made at the start, whatever the environment asks for.
const mostQueued = 1 << 20

// newLimits takes OTEL_BSP_*, with the standard's default for what is 0. The schedule delay is an upper bound here:
// spans leave earlier, see processor.
func newLimits(t config.Telemetry, longest time.Duration) limits {
	l := limits{
		queue:   min(cmp.Or(t.BatchQueue, sdktrace.DefaultMaxQueueSize), mostQueued),
		batch:   cmp.Or(t.BatchSize, sdktrace.DefaultMaxExportBatchSize),
		delay:   time.Duration(cmp.Or(t.BatchDelay, sdktrace.DefaultScheduleDelay)) * time.Millisecond,
		timeout: time.Duration(cmp.Or(t.BatchTimeout, sdktrace.DefaultExportTimeout)) * time.Millisecond,
	}
	l.batch = min(l.batch, l.queue)
	l.delay = min(l.delay, longest)
	return l
}
