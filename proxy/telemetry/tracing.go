package telemetry

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
)

// Tracing records and exports spans. It has the methods that a proxy needs for
// a request. They are safe for concurrent use, and none of them waits for the
// exporter.
type Tracing struct {
	sampler   sampler
	processor *processor
	resource  *resource.Resource
	scope     instrumentation.Scope
	limits    sdktrace.SpanLimits
}

// scopeName is the instrumentation scope of all spans and metrics.
const scopeName = "github.com/pillion-lb/pillion"

func newTracing(s sampler, p *processor, res *resource.Resource, version string) *Tracing {
	return &Tracing{
		sampler:   s,
		processor: p,
		resource:  res,
		scope: instrumentation.Scope{Name: scopeName, Version: version,
			SchemaURL: semconv.SchemaURL},
		limits: sdktrace.NewSpanLimits(),
	}
}

// Sampled reports whether a request has to be recorded: one with this parent
// or, if the parent is not valid, one that begins a trace with this id. It
// allocates nothing and takes no lock.
func (t *Tracing) Sampled(parent trace.SpanContext, id trace.TraceID) bool {
	return t.sampler.sampled(parent, id)
}

// Start begins the SERVER span of a request that Sampled chose. It continues
// the parent's trace if the parent is valid; otherwise its trace id is id. The
// context holds the span and nothing else; it never ends.
func (t *Tracing) Start(parent trace.SpanContext, id trace.TraceID, name string, start time.Time,
	attrs ...attribute.KeyValue,
) (context.Context, trace.Span) {
	s := t.newSpan(parent, id, name, trace.SpanKindServer, start)
	s.set(attrs)
	return trace.ContextWithSpan(context.Background(), s), s
}

// StartClient begins the CLIENT span of an attempt, below the span that Start
// began. It is Tracer().Start without the cost of options and of a context.
func (t *Tracing) StartClient(parent trace.Span, name string, start time.Time,
	attrs ...attribute.KeyValue) trace.Span {
	s := t.newSpan(parent.SpanContext(), trace.TraceID{}, name, trace.SpanKindClient, start)
	s.set(attrs)
	adopt(parent)
	return s
}

// StartBackground begins the INTERNAL span of work that no request waits for.
// It is the root of its own trace.
func (t *Tracing) StartBackground(id trace.TraceID, name string, start time.Time,
	attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	s := t.newSpan(trace.SpanContext{}, id, name, trace.SpanKindInternal, start)
	s.set(attrs)
	return trace.ContextWithSpan(context.Background(), s), s
}

// Tracer returns a tracer for the children of a span that Start began. It
// records every span.
func (t *Tracing) Tracer() trace.Tracer { return tracer{tracing: t} }

// RequestStarted counts a request in flight, sampled or not: while there is
// one, the platform does not stop the CPU.
func (t *Tracing) RequestStarted() { t.processor.inFlight.Add(1) }

// RequestEnded counts the end of a request. Its spans must have ended before.
func (t *Tracing) RequestEnded() { t.processor.requestEnded() }

// Dropped returns the number of ended spans that were lost so far, for any
// reason.
func (t *Tracing) Dropped() int64 { return t.processor.dropped.Load() }

func (t *Tracing) shutdown(ctx context.Context) error { return t.processor.Shutdown(ctx) }

// newSpan makes a span that is sampled. Without a valid parent it begins the
// trace with id, or a new one if id is not valid.
func (t *Tracing) newSpan(parent trace.SpanContext, id trace.TraceID, name string,
	kind trace.SpanKind, start time.Time) *span {
	c := trace.SpanContextConfig{TraceID: id, SpanID: newSpanID(), TraceFlags: trace.FlagsSampled}
	if parent.IsValid() {
		c.TraceID, c.TraceState = parent.TraceID(), parent.TraceState()
		c.TraceFlags |= parent.TraceFlags()
	} else {
		parent = trace.SpanContext{}
	}

	for !c.TraceID.IsValid() {
		binary.NativeEndian.PutUint64(c.TraceID[:8], rand.Uint64())
		binary.NativeEndian.PutUint64(c.TraceID[8:], rand.Uint64())
	}

	s := &span{tracing: t, context: trace.NewSpanContext(c), parent: parent, kind: kind, name: name,
		start: start}
	s.attributes = s.usual[:0]
	return s
}

// newSpanID returns a random id that is not zero, which would be invalid.
func newSpanID() (id trace.SpanID) {
	for !id.IsValid() {
		binary.NativeEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}

// adopt counts a child.
func adopt(parent trace.Span) {
	if s, ok := parent.(*span); ok {
		s.record(func() { s.children++ })
	}
}

// tracer starts spans for code that uses only OpenTelemetry's API. It records
// every span, because it is not used for requests that are not sampled.
type tracer struct {
	embedded.Tracer
	tracing *Tracing
}

// Start begins a span below the one in ctx, if there is one.
func (t tracer) Start(ctx context.Context, name string,
	options ...trace.SpanStartOption) (context.Context, trace.Span) {
	c := trace.NewSpanStartConfig(options...)
	parent := trace.SpanFromContext(ctx)
	above := parent.SpanContext()
	if c.NewRoot() {
		above = trace.SpanContext{}
	}

	start := c.Timestamp()
	if start.IsZero() {
		start = time.Now()
	}

	s := t.tracing.newSpan(above, trace.TraceID{}, name, trace.ValidateSpanKind(c.SpanKind()),
		start)
	for _, link := range c.Links() {
		s.AddLink(link)
	}
	s.set(c.Attributes())
	adopt(parent)
	return trace.ContextWithSpan(ctx, s), s
}

// provider is the TracerProvider of the spans.
type provider struct {
	embedded.TracerProvider
	tracing *Tracing
}

// Tracer returns the one tracer, whatever its name.
func (p provider) Tracer(string, ...trace.TracerOption) trace.Tracer { return p.tracing.Tracer() }
