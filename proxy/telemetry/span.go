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

// usualAttributes is how many attributes a span of ours has at most, as a rule; more cost an allocation.
const usualAttributes = 20

// span is a recorded span: to who records, OpenTelemetry's trace.Span; once it has ended, the SDK's ReadOnlySpan for
// processor and exporters. The SDK's own takes a dozen allocations and a map for what is one allocation here, and costs
// as much CPU as relaying the request. What it records is the same, with the limits of OTEL_SPAN_* (a test compares),
// but for links, which we never make and which count as dropped.
//
// Safe for concurrent use. Nothing of it changes after its end.
type span struct {
	embedded.Span
	sdktrace.ReadOnlySpan // nil; it completes the interface, which has a private method

	tracing *Tracing
	context trace.SpanContext
	parent  trace.SpanContext
	kind    trace.SpanKind
	start   time.Time

	mu                sync.Mutex
	name              string
	end               time.Time // zero: it has not ended
	status            sdktrace.Status
	attributes        []attribute.KeyValue
	events            []sdktrace.Event
	children          int
	droppedAttributes int
	droppedEvents     int
	droppedLinks      int
	usual             [usualAttributes]attribute.KeyValue // where attributes begins
}

// record takes a change, unless the span has ended.
func (s *span) record(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end.IsZero() {
		change()
	}
}

// SetAttributes sets attributes; of one key the last counts.
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

// index is where the attribute of a key is, or -1. There are so few that a map costs more.
func (s *span) index(key attribute.Key) int {
	for i := range s.attributes {
		if s.attributes[i].Key == key {
			return i
		}
	}
	return -1
}

// shorten cuts a text to so many characters; a negative limit is none.
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

// AddEvent records that something happened now, or at the time given.
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

// AddLink counts a link that is not recorded.
func (s *span) AddLink(trace.Link) { s.record(func() { s.droppedLinks++ }) }

// SetStatus sets the status. OK is final, and an error is not unset (OpenTelemetry specification, "Set Status").
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

// End ends the span, now or at the time given, and hands it to the processor.
func (s *span) End(options ...trace.SpanEndOption) {
	now := s.start.Add(time.Since(s.start)) // the start may lack a clock that never jumps
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

// TracerProvider makes tracers like the one that made this span.
func (s *span) TracerProvider() trace.TracerProvider { return provider{tracing: s.tracing} }

// The methods that follow read; those of what may change are for use after the end.

// SpanContext is what identifies the span.
func (s *span) SpanContext() trace.SpanContext { return s.context }

// Parent identifies the parent, if there is one.
func (s *span) Parent() trace.SpanContext { return s.parent }

// SpanKind is the kind.
func (s *span) SpanKind() trace.SpanKind { return s.kind }

// StartTime is when it began.
func (s *span) StartTime() time.Time { return s.start }

// EndTime is when it ended.
func (s *span) EndTime() time.Time { return s.end }

// Name is the name.
func (s *span) Name() string { return s.name }

// Attributes are the attributes, in the order in which their keys were first set.
func (s *span) Attributes() []attribute.KeyValue { return s.attributes }

// Events are the events, in order.
func (s *span) Events() []sdktrace.Event { return s.events }

// Links is empty.
func (s *span) Links() []sdktrace.Link { return nil }

// Status is the status.
func (s *span) Status() sdktrace.Status { return s.status }

// InstrumentationScope is the scope of all that we record.
func (s *span) InstrumentationScope() instrumentation.Scope { return s.tracing.scope }

// InstrumentationLibrary is InstrumentationScope under its former name.
func (s *span) InstrumentationLibrary() instrumentation.Scope { return s.tracing.scope }

// Resource is what produced the span, as far as it was known at the start.
func (s *span) Resource() *resource.Resource { return s.tracing.resource }

// DroppedAttributes counts attributes that were invalid or too many.
func (s *span) DroppedAttributes() int { return s.droppedAttributes }

// DroppedEvents counts events that were too many.
func (s *span) DroppedEvents() int { return s.droppedEvents }

// DroppedLinks counts links.
func (s *span) DroppedLinks() int { return s.droppedLinks }

// ChildSpanCount counts the spans that were started below this one.
func (s *span) ChildSpanCount() int { return s.children }
