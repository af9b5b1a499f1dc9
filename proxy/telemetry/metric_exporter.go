package telemetry

import (
	"context"
	"io"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutmetric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding/gzip"

	"github.com/pillion-lb/pillion/config"
)

// newMetricExporter is newSpanExporter for metrics.
func newMetricExporter(ctx context.Context, t config.Telemetry, to *receiver,
	stdout io.Writer) (sdkmetric.Exporter, error) {
	if t.MetricsExporter == config.ExportConsole {
		return stdoutmetric.New(stdoutmetric.WithWriter(stdout))
	}

	if to.Protocol == config.ExportGRPC {
		return newGRPCMetricExporter(ctx, to)
	}

	return newHTTPMetricExporter(ctx, to)
}

func newHTTPMetricExporter(ctx context.Context, to *receiver) (sdkmetric.Exporter, error) {
	client, err := to.client()
	if err != nil {
		return nil, err
	}

	compression := otlpmetrichttp.NoCompression
	if to.Compression == config.Gzip {
		compression = otlpmetrichttp.GzipCompression
	}

	return otlpmetrichttp.New(ctx,
		otlpmetrichttp.WithEndpointURL(to.url("/v1/metrics")),
		otlpmetrichttp.WithHeaders(to.Fields()),
		otlpmetrichttp.WithTimeout(to.timeout()),
		otlpmetrichttp.WithCompression(compression),
		otlpmetrichttp.WithHTTPClient(client),
	)
}

func newGRPCMetricExporter(ctx context.Context, to *receiver) (sdkmetric.Exporter, error) {
	options := []otlpmetricgrpc.Option{
		otlpmetricgrpc.WithEndpoint(to.target()),
		otlpmetricgrpc.WithHeaders(to.Fields()),
		otlpmetricgrpc.WithTimeout(to.timeout()),
		otlpmetricgrpc.WithDialOption(grpc.WithChainUnaryInterceptor(to.failure.unary)),
	}

	if to.Compression == config.Gzip {
		options = append(options, otlpmetricgrpc.WithCompressor(gzip.Name))
	}

	if !to.Secure() {
		return otlpmetricgrpc.New(ctx, append(options, otlpmetricgrpc.WithInsecure())...)
	}

	secure, err := to.tls()
	if err != nil {
		return nil, err
	}

	return otlpmetricgrpc.New(ctx, append(options,
		otlpmetricgrpc.WithTLSCredentials(credentials.NewTLS(secure)))...)
}
