package telemetry

import (
	"context"
	"io"
	"math"
	"strconv"
	"strings"
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

// newLimits reads OTEL_BSP_*, with the standard's defaults for what is unset or no positive whole number; what is wrong
// with a value has been said before. Times are milliseconds. The schedule delay is an upper bound here: spans leave
// earlier, see processor.
func newLimits(getenv func(string) string, longest time.Duration) limits {
	number := func(name string, standard int) int {
		if n, err := strconv.Atoi(strings.TrimSpace(getenv(name))); err == nil && n > 0 {
			return n
		}
		return standard
	}
	milliseconds := func(name string, standard int) time.Duration {
		return time.Duration(min(number(name, standard), math.MaxInt32)) * time.Millisecond
	}
	l := limits{
		queue:   min(number("OTEL_BSP_MAX_QUEUE_SIZE", sdktrace.DefaultMaxQueueSize), mostQueued),
		batch:   number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", sdktrace.DefaultMaxExportBatchSize),
		delay:   milliseconds("OTEL_BSP_SCHEDULE_DELAY", sdktrace.DefaultScheduleDelay),
		timeout: milliseconds("OTEL_BSP_EXPORT_TIMEOUT", sdktrace.DefaultExportTimeout),
	}
	l.batch = min(l.batch, l.queue)
	l.delay = min(l.delay, longest)
	return l
}
