package telemetry

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Tracing records and exports spans. Its methods are what a proxy needs for a request; all are safe for concurrent use
// and none waits for the exporter.
type Tracing struct {
	sampler   sampler
	tracer    trace.Tracer
	provider  *sdktrace.TracerProvider
	processor *processor
}

// scope is the instrumentation scope of all that we record.
const scope = "github.com/pillion-lb/pillion"

func newTracing(s sampler, p *processor, res *resource.Resource, version string) *Tracing {
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithResource(res),
		sdktrace.WithSpanProcessor(p),
		sdktrace.WithIDGenerator(ids{}),
		// The decision is made by Sampled before the SDK is entered; what enters is recorded.
		sdktrace.WithSampler(sdktrace.AlwaysSample()),
	)
	tracer := provider.Tracer(scope, trace.WithInstrumentationVersion(version))
	return &Tracing{sampler: s, tracer: tracer, provider: provider, processor: p}
}

// Sampled reports whether a request is to be recorded: one with this parent or, when the parent is not valid, one that
// begins a trace with this id. It allocates nothing and takes no lock.
func (t *Tracing) Sampled(parent trace.SpanContext, id trace.TraceID) bool {
	return t.sampler.sampled(parent, id)
}

// Start begins the SERVER span of a request that Sampled chose. It continues the parent's trace when the parent is
// valid, else its trace id is id. The context holds the span and nothing else; it never ends.
func (t *Tracing) Start(parent trace.SpanContext, id trace.TraceID, name string, start time.Time,
	attrs ...attribute.KeyValue,
) (context.Context, trace.Span) {
	ctx := context.Background()
	if parent.IsValid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, parent)
	} else {
		ctx = &rootContext{ctx, id}
	}
	return t.tracer.Start(ctx, name, serverKind, trace.WithTimestamp(start), trace.WithAttributes(attrs...))
}

// Tracer starts the children of a span that Start began. Everything it starts is recorded.
func (t *Tracing) Tracer() trace.Tracer { return t.tracer }

// RequestStarted says that a request is in flight, sampled or not: while one is, the CPU is ours.
func (t *Tracing) RequestStarted() { t.processor.inFlight.Add(1) }

// RequestEnded says that a request is over. Its spans must have ended before.
func (t *Tracing) RequestEnded() { t.processor.requestEnded() }

// Dropped is the number of ended spans that were lost so far, whatever the reason.
func (t *Tracing) Dropped() int64 { return t.processor.dropped.Load() }

func (t *Tracing) shutdown(ctx context.Context) error { return t.provider.Shutdown(ctx) }

var serverKind = trace.WithSpanKind(trace.SpanKindServer)

// rootContext carries the id of a trace that begins here to the id generator.
type rootContext struct {
	context.Context
	id trace.TraceID
}

// ids generates ids for the SDK: the trace id that Start was given, and random ones else.
type ids struct{}

// NewIDs returns the ids of a root span.
func (ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	var id trace.TraceID
	if root, ok := ctx.(*rootContext); ok {
		id = root.id
	}
	for !id.IsValid() {
		binary.NativeEndian.PutUint64(id[:8], rand.Uint64())
		binary.NativeEndian.PutUint64(id[8:], rand.Uint64())
	}
	return id, newSpanID()
}

// NewSpanID returns the id of a span that continues a trace.
func (ids) NewSpanID(context.Context, trace.TraceID) trace.SpanID { return newSpanID() }

// newSpanID returns a random id that is not zero, which would be invalid.
func newSpanID() (id trace.SpanID) {
	for !id.IsValid() {
		binary.NativeEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}
