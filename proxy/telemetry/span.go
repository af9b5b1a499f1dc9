package telemetry

import (
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
)

// usualAttributes is the number of attributes that a span usually has at most.
// More cost an allocation.
const usualAttributes = 20

// span is a recorded span: OpenTelemetry's trace.Span while it records, and the
// SDK's ReadOnlySpan for processor and exporters after its end. It is one
// allocation. The SDK's own span needs a dozen allocations and a map, and costs
// as much CPU as relaying the request. A test checks that both record the same,
// with the limits of OTEL_SPAN_*.
//
// Safe for concurrent use. It does not change after its end.
type span struct {
	embedded.Span
	sdktrace.ReadOnlySpan // nil; it provides the private method of the interface

	tracing *Tracing
	context trace.SpanContext
	parent  trace.SpanContext
	kind    trace.SpanKind
	start   time.Time

	mu                sync.Mutex
	name              string
	end               time.Time // zero if it has not ended
	status            sdktrace.Status
	attributes        []attribute.KeyValue
	events            []sdktrace.Event
	links             []sdktrace.Link
	children          int
	droppedAttributes int
	droppedEvents     int
	droppedLinks      int
	usual             [usualAttributes]attribute.KeyValue // the first memory of attributes
}

// record makes a change, unless the span has ended.
func (s *span) record(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end.IsZero() {
		change()
	}
}

// SetAttributes sets attributes. The last value of a key counts.
func (s *span) SetAttributes(attrs ...attribute.KeyValue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end.IsZero() {
		s.set(attrs)
	}
}

func (s *span) set(attrs []attribute.KeyValue) {
	limit := s.tracing.limits.AttributeCountLimit
	for _, a := range attrs {
		a = shorten(a, s.tracing.limits.AttributeValueLengthLimit)
		switch i := s.index(a.Key); {
		case !a.Valid():
			s.droppedAttributes++
		case i >= 0:
			s.attributes[i] = a
		case limit >= 0 && len(s.attributes) >= limit:
			s.droppedAttributes++
		default:
			s.attributes = append(s.attributes, a)
		}
	}
}

// index returns the index of the attribute with a key, or -1. There are so few
// that a map would cost more.
func (s *span) index(key attribute.Key) int {
	for i := range s.attributes {
		if s.attributes[i].Key == key {
			return i
		}
	}

	return -1
}

// shorten cuts a text to limit characters. A negative limit is no limit.
func shorten(a attribute.KeyValue, limit int) attribute.KeyValue {
	if limit < 0 || a.Value.Type() != attribute.STRING {
		return a
	}

	text := a.Value.AsString()
	if len(text) <= limit {
		return a
	}

	text = strings.ToValidUTF8(text, "")
	if utf8.RuneCountInString(text) > limit {
		text = string([]rune(text)[:limit])
	}

	return a.Key.String(text)
}

// AddEvent records an event, at the current or the given time.
func (s *span) AddEvent(name string, options ...trace.EventOption) {
	c := trace.NewEventConfig(options...)
	limits := s.tracing.limits
	s.record(func() {
		event := sdktrace.Event{Name: name, Attributes: c.Attributes(), Time: c.Timestamp()}
		if n := limits.AttributePerEventCountLimit; n >= 0 && len(event.Attributes) > n {
			event.DroppedAttributeCount = len(event.Attributes) - n
			event.Attributes = event.Attributes[:n]
		}

		s.events = append(s.events, event)
		if n := limits.EventCountLimit; n >= 0 && len(s.events) > n {
			s.events = s.events[1:]
			s.droppedEvents++
		}
	})
}

// RecordError records an error as an event. It does not change the status.
func (s *span) RecordError(err error, options ...trace.EventOption) {
	if err == nil {
		return
	}

	s.AddEvent(semconv.ExceptionEventName, append(options, trace.WithAttributes(
		semconv.ExceptionType(fmt.Sprintf("%T", err)), semconv.ExceptionMessage(err.Error()),
	))...)
}

// AddLink adds a link to another span. An invalid one is left out. If there are
// too many, the oldest is removed.
func (s *span) AddLink(to trace.Link) {
	if !to.SpanContext.IsValid() {
		return
	}

	limits := s.tracing.limits
	s.record(func() {
		link := sdktrace.Link{SpanContext: to.SpanContext, Attributes: to.Attributes}
		if n := limits.AttributePerLinkCountLimit; n >= 0 && len(link.Attributes) > n {
			link.DroppedAttributeCount = len(link.Attributes) - n
			link.Attributes = link.Attributes[:n]
		}

		s.links = append(s.links, link)
		if n := limits.LinkCountLimit; n >= 0 && len(s.links) > n {
			s.links = s.links[1:]
			s.droppedLinks++
		}
	})
}

// SetStatus sets the status. OK is final, and an error can't be unset
// (OpenTelemetry specification, "Set Status").
func (s *span) SetStatus(code codes.Code, description string) {
	s.record(func() {
		if s.status.Code > code {
			return
		}

		s.status = sdktrace.Status{Code: code}
		if code == codes.Error {
			s.status.Description = description
		}
	})
}

// SetName replaces the name.
func (s *span) SetName(name string) { s.record(func() { s.name = name }) }

// IsRecording reports whether the span has not ended.
func (s *span) IsRecording() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end.IsZero()
}

// End ends the span, at the current or the given time, and gives it to the
// processor.
func (s *span) End(options ...trace.SpanEndOption) {
	now := s.start.Add(time.Since(s.start)) // start may have no monotonic reading
	if len(options) > 0 {
		if c := trace.NewSpanEndConfig(options...); !c.Timestamp().IsZero() {
			now = c.Timestamp()
		}
	}

	s.mu.Lock()
	ended := !s.end.IsZero()
	if !ended {
		s.end = now
	}

	s.mu.Unlock()
	if !ended {
		s.tracing.processor.OnEnd(s)
	}
}

// TracerProvider returns a provider of tracers like that of this span.
func (s *span) TracerProvider() trace.TracerProvider { return provider{tracing: s.tracing} }

// The methods below read the span. Those that return changing values may be
// called only after its end.

// SpanContext returns the span's identity.
func (s *span) SpanContext() trace.SpanContext { return s.context }

// Parent returns the parent's identity. It is invalid without one.
func (s *span) Parent() trace.SpanContext { return s.parent }

// SpanKind returns the kind.
func (s *span) SpanKind() trace.SpanKind { return s.kind }

// StartTime returns when the span began.
func (s *span) StartTime() time.Time { return s.start }

// EndTime returns when the span ended.
func (s *span) EndTime() time.Time { return s.end }

// Name returns the name.
func (s *span) Name() string { return s.name }

// Attributes returns the attributes, in the order in which their keys were
// first set.
func (s *span) Attributes() []attribute.KeyValue { return s.attributes }

// Events returns the events, in order.
func (s *span) Events() []sdktrace.Event { return s.events }

// Links returns the links, in order.
func (s *span) Links() []sdktrace.Link { return s.links }

// Status returns the status.
func (s *span) Status() sdktrace.Status { return s.status }

// InstrumentationScope returns the scope of all spans.
func (s *span) InstrumentationScope() instrumentation.Scope { return s.tracing.scope }

// InstrumentationLibrary is InstrumentationScope under its former name.
func (s *span) InstrumentationLibrary() instrumentation.Scope { return s.tracing.scope }

// Resource returns the resource, as far as it was known at the start.
func (s *span) Resource() *resource.Resource { return s.tracing.resource }

// DroppedAttributes returns how many attributes were invalid or too many.
func (s *span) DroppedAttributes() int { return s.droppedAttributes }

// DroppedEvents returns how many events were too many.
func (s *span) DroppedEvents() int { return s.droppedEvents }

// DroppedLinks returns how many links were too many.
func (s *span) DroppedLinks() int { return s.droppedLinks }

// ChildSpanCount returns the number of spans that were started below this one.
func (s *span) ChildSpanCount() int { return s.children }
