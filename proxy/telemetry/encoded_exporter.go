package telemetry

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// encodedExporter exports by a client of OpenTelemetry's OTLP exporters, which
// implements the protocol, its settings and its retries. It encodes the spans
// itself. It is used by one goroutine at a time.
//
// A client takes messages, not bytes. So the bytes are put into the unknown
// fields of a ResourceSpans message, which protobuf writes unchanged. The
// receiver sees no difference.
type encodedExporter struct {
	client otlptrace.Client
	buf    []byte
}

func newEncodedExporter(ctx context.Context, client otlptrace.Client) (*encodedExporter, error) {
	if err := client.Start(ctx); err != nil {
		return nil, fmt.Errorf("start OTLP client: %w", err)
	}
	return &encodedExporter{client: client}, nil
}

// ExportSpans sends spans. All of them have the resource and the scope of the
// one provider.
func (e *encodedExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}

	e.buf = appendResourceSpans(e.buf[:0], spans[0].Resource(), spans[0].InstrumentationScope(),
		spans)
	var raw tracepb.ResourceSpans
	raw.ProtoReflect().SetUnknown(e.buf)
	return e.client.UploadTraces(ctx, []*tracepb.ResourceSpans{&raw})
}

// Shutdown closes the connections.
func (e *encodedExporter) Shutdown(ctx context.Context) error { return e.client.Stop(ctx) }
