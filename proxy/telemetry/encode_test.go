package telemetry

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// wire is a client that keeps the bytes which would be sent.
type wire struct{ sent []byte }

func (*wire) Start(context.Context) error { return nil }
func (*wire) Stop(context.Context) error  { return nil }
func (w *wire) UploadTraces(_ context.Context, spans []*tracepb.ResourceSpans) (err error) {
	w.sent, err = proto.Marshal(&coltracepb.ExportTraceServiceRequest{ResourceSpans: spans})
	return err
}

// read is what a receiver understands of the bytes, and that it understood all
// of them.
func (w *wire) read(t *testing.T) *coltracepb.ExportTraceServiceRequest {
	t.Helper()
	var got coltracepb.ExportTraceServiceRequest
	if err := proto.Unmarshal(w.sent, &got); err != nil {
		t.Fatal(err)
	}
	again, _ := proto.MarshalOptions{Deterministic: true}.Marshal(&got)
	if len(again) != len(w.sent) {
		t.Errorf("%d bytes were sent, %d say the same", len(w.sent), len(again))
	}
	return &got
}

// variedSpans are spans with all that a span can have, and values of all
// lengths.
func variedSpans(t *testing.T) []sdktrace.ReadOnlySpan {
	t.Helper()
	var kept keeper
	r := rand.New(rand.NewPCG(5, 6))
	tracing := tracingTo(&kept, limits{queue: 256, batch: 256, timeout: time.Second})
	state, err := trace.ParseTraceState("a=1,b=2")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		parent := trace.SpanContext{}
		if i%2 == 0 {
			parent = remote(true).WithTraceState(state)
		}
		kind := trace.SpanKind(i % 7)
		ctx, server := tracing.Start(parent, randomID(r), strings.Repeat("n", i), time.Unix(0, int64(i%3)))
		_, child := tracing.Tracer().Start(ctx, "child", trace.WithSpanKind(kind))
		for n := range i % 20 {
			child.SetAttributes(
				attribute.String("s"+strings.Repeat("k", n), strings.Repeat("v", r.IntN(40)*r.IntN(40)*r.IntN(40))),
				attribute.Int("i", r.Int()-r.Int()), attribute.Bool("b", n%2 == 0), attribute.Float64("f", r.Float64()),
				attribute.Int("zero", 0), attribute.String("empty", ""), attribute.KeyValue{Key: "none"},
				attribute.StringSlice("list", []string{"a", "", strings.Repeat("c", 200)}),
			)
		}
		child.AddEvent("event", trace.WithAttributes(attributes[:i%8]...))
		child.SetStatus(codes.Code(i%3), "d")
		child.End()
		server.End()
	}
	if err := tracing.processor.ForceFlush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return kept
}

// keeper is an exporter that keeps what it is given.
type keeper []sdktrace.ReadOnlySpan

func (k *keeper) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	*k = append(*k, spans...)
	return nil
}

func (*keeper) Shutdown(context.Context) error { return nil }

func TestEncode_SaysWhatTheStockExporterSays(t *testing.T) {
	t.Parallel()
	res := resource.NewWithAttributes("https://example.com/schema", slices.Clone(attributes)...) // which it sorts
	var spans []sdktrace.ReadOnlySpan
	for _, span := range variedSpans(t) {
		spans = append(spans, &resourceSpan{span, res})
	}
	var stock, own wire
	exporter, err := otlptrace.New(t.Context(), &stock)
	if err != nil {
		t.Fatal(err)
	}
	if err := exporter.ExportSpans(t.Context(), spans); err != nil {
		t.Fatal(err)
	}
	if err := (&encodedExporter{client: &own}).ExportSpans(t.Context(), spans); err != nil {
		t.Fatal(err)
	}
	want, got := stock.read(t), own.read(t)
	if proto.Equal(want, got) {
		return
	}
	for i, span := range want.ResourceSpans[0].ScopeSpans[0].Spans {
		if other := got.ResourceSpans[0].ScopeSpans[0].Spans[i]; !proto.Equal(span, other) {
			t.Fatalf("span %d: got  %v\nwant %v", i, other, span)
		}
	}
	t.Errorf("resource or scope: got  %v\nwant %v", got.ResourceSpans[0].Resource, want.ResourceSpans[0].Resource)
}

func BenchmarkEncode(b *testing.B) {
	var kept keeper
	tracing := tracingTo(&kept, limits{queue: 512, batch: 512, timeout: time.Second})
	for range 256 {
		ctx, server := tracing.Start(trace.SpanContext{}, traceID, "GET", time.Now(), attributes...)
		_, client := tracing.Tracer().Start(ctx, "GET", clientKind, trace.WithAttributes(attributes...))
		client.End()
		server.End()
	}
	if err := tracing.processor.ForceFlush(b.Context()); err != nil {
		b.Fatal(err)
	}
	exporter := &encodedExporter{client: &wire{}}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%256 == 0 { // one op is one request
			_ = exporter.ExportSpans(b.Context(), kept)
		}
	}
}
