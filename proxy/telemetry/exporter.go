package telemetry

import (
	"cmp"
	"context"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding/gzip"

	"github.com/pillion-lb/pillion/config"
)

// newSpanExporter makes the configured exporter. It does not connect.
func newSpanExporter(ctx context.Context, t config.Telemetry, to *receiver,
	opts Options) (sdktrace.SpanExporter, error) {
	if t.TracesExporter == config.ExportConsole {
		if opts.Log != nil && opts.Log.Screen() != nil {
			return newSpanTree(opts.Stdout, opts.Log.Screen()), nil
		}
		return console{opts.Stdout}, nil
	}

	if to.Protocol == config.ExportGRPC {
		return newGRPCSpanExporter(ctx, to)
	}

	return newHTTPSpanExporter(ctx, to)
}

// newHTTPSpanExporter makes an exporter. Its own retries, which follow the
// answers of a collector, continue until the time limit of the export.
func newHTTPSpanExporter(ctx context.Context, to *receiver) (sdktrace.SpanExporter, error) {
	client, err := to.client()
	if err != nil {
		return nil, err
	}

	compression := otlptracehttp.NoCompression
	if to.Compression == config.Gzip {
		compression = otlptracehttp.GzipCompression
	}

	return newEncodedExporter(ctx, otlptracehttp.NewClient(
		otlptracehttp.WithEndpointURL(to.url("/v1/traces")),
		otlptracehttp.WithHeaders(to.Fields()),
		otlptracehttp.WithTimeout(to.timeout()),
		otlptracehttp.WithCompression(compression),
		otlptracehttp.WithHTTPClient(client),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true,
			InitialInterval: firstPause, MaxInterval: longestPause}),
	))
}

// newGRPCSpanExporter is newHTTPSpanExporter over grpc.
func newGRPCSpanExporter(ctx context.Context, to *receiver) (sdktrace.SpanExporter, error) {
	options := []otlptracegrpc.Option{
		otlptracegrpc.WithEndpoint(to.target()),
		otlptracegrpc.WithHeaders(to.Fields()),
		otlptracegrpc.WithTimeout(to.timeout()),
		otlptracegrpc.WithDialOption(grpc.WithChainUnaryInterceptor(to.failure.unary)),
		otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{Enabled: true,
			InitialInterval: firstPause, MaxInterval: longestPause}),
	}

	if to.Compression == config.Gzip {
		options = append(options, otlptracegrpc.WithCompressor(gzip.Name))
	}

	if !to.Secure() {
		return newEncodedExporter(ctx, otlptracegrpc.NewClient(append(options,
			otlptracegrpc.WithInsecure())...))
	}

	secure, err := to.tls()
	if err != nil {
		return nil, err
	}

	options = append(options, otlptracegrpc.WithTLSCredentials(credentials.NewTLS(secure)))
	return newEncodedExporter(ctx, otlptracegrpc.NewClient(options...))
}

// mostQueued bounds the queue, which is allocated at the start.
const mostQueued = 1 << 20

// newLimits reads OTEL_BSP_*, with the standard's default for 0. The schedule
// delay is an upper bound, because spans are exported earlier: see processor.
func newLimits(t config.Telemetry, longest time.Duration) limits {
	l := limits{
		queue: min(cmp.Or(t.BatchQueue, sdktrace.DefaultMaxQueueSize), mostQueued),
		batch: cmp.Or(t.BatchSize, sdktrace.DefaultMaxExportBatchSize),
		delay: time.Duration(cmp.Or(t.BatchDelay,
			sdktrace.DefaultScheduleDelay)) * time.Millisecond,
		timeout: time.Duration(cmp.Or(t.BatchTimeout,
			sdktrace.DefaultExportTimeout)) * time.Millisecond,
	}

	l.batch = min(l.batch, l.queue)
	l.delay = min(l.delay, longest)
	return l
}
