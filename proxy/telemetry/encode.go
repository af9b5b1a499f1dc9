package telemetry

import (
	"encoding/binary"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/encoding/protowire"
)

// The messages of opentelemetry/proto/trace/v1/trace.proto and
// common/v1/common.proto, are encoded here by hand. OpenTelemetry's own code
// makes some thirty objects per span and walks them twice, which costs as much
// as relaying the request. A test compares the two.

// message appends field n, a message whose content body appends. The length
// comes before the content. Two bytes are reserved for it, which is right for a
// span. If it needs more or fewer, the content is moved.
func message(b []byte, n protowire.Number, body func([]byte) []byte) []byte {
	b = protowire.AppendTag(b, n, protowire.BytesType)
	const room = 2
	start := len(b)
	b = body(append(b, 0, 0))
	length := len(b) - start - room
	switch size := protowire.SizeVarint(uint64(length)); {
	case size < room:
		copy(b[start+size:], b[start+room:])
		b = b[:len(b)-room+size]
	case size > room:
		b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)[:len(b)+size-room]
		copy(b[start+size:], b[start+room:start+room+length])
	}

	binary.PutUvarint(b[start:start+protowire.SizeVarint(uint64(length))], uint64(length))
	return b
}

func appendText(b []byte, n protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return appendString(b, n, s)
}

// appendString appends a text, also an empty one. Bytes that are not UTF-8
// become U+FFFD, because a receiver has to refuse a message with them
// (protobuf, "string"), and so all spans of the batch.
func appendString(b []byte, n protowire.Number, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), s)
}

func appendBytes(b []byte, n protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
}

func appendUint(b []byte, n protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
}

func appendTime(b []byte, n protowire.Number, t time.Time) []byte {
	nanos := t.UnixNano()
	if nanos <= 0 {
		return b
	}
	return protowire.AppendFixed64(protowire.AppendTag(b, n, protowire.Fixed64Type), uint64(nanos))
}

// appendResourceSpans appends the inside of a ResourceSpans message for spans
// of one resource and one scope.
func appendResourceSpans(b []byte, res *resource.Resource, scope instrumentation.Scope,
	spans []sdktrace.ReadOnlySpan) []byte {
	b = message(b, 1, func(b []byte) []byte {
		for iter := res.Iter(); iter.Next(); {
			b = appendKeyValue(b, 1, iter.Attribute())
		}
		return b
	})

	b = message(b, 2, func(b []byte) []byte {
		b = message(b, 1, func(b []byte) []byte {
			return appendText(appendText(b, 1, scope.Name), 2, scope.Version)
		})

		for _, span := range spans {
			b = message(b, 2, func(b []byte) []byte { return appendOTLP(b, span) })
		}

		return appendText(b, 3, scope.SchemaURL)
	})

	return appendText(b, 3, res.SchemaURL())
}

// appendOTLP appends the inside of a Span message.
func appendOTLP(b []byte, s sdktrace.ReadOnlySpan) []byte {
	sc, parent := s.SpanContext(), s.Parent()
	id, span := sc.TraceID(), sc.SpanID()
	b = appendBytes(b, 1, id[:])
	b = appendBytes(b, 2, span[:])
	b = appendText(b, 3, sc.TraceState().String())
	if p := parent.SpanID(); p.IsValid() {
		b = appendBytes(b, 4, p[:])
	}

	b = appendText(b, 5, s.Name())
	b = appendUint(b, 6, otlpKind(s.SpanKind()))
	b = appendTime(b, 7, s.StartTime())
	b = appendTime(b, 8, s.EndTime())
	for _, a := range s.Attributes() {
		b = appendKeyValue(b, 9, a)
	}

	b = appendUint(b, 10, uint64(s.DroppedAttributes()))
	for _, event := range s.Events() {
		b = message(b, 11, func(b []byte) []byte { return appendEvent(b, event) })
	}

	b = appendUint(b, 12, uint64(s.DroppedEvents()))
	for _, link := range s.Links() {
		b = message(b, 13, func(b []byte) []byte { return appendLink(b, link) })
	}

	b = appendUint(b, 14, uint64(s.DroppedLinks()))
	b = message(b, 15, func(b []byte) []byte { return appendStatus(b, s.Status()) })
	return protowire.AppendFixed32(protowire.AppendTag(b, 16, protowire.Fixed32Type),
		otlpFlags(sc, parent))
}

// otlpFlags returns the W3C flags of a span and, in higher bits, whether its
// parent is remote (SpanFlags).
func otlpFlags(sc, parent trace.SpanContext) uint32 {
	flags := uint32(sc.TraceFlags()) | 1<<8
	if parent.IsRemote() {
		flags |= 1 << 9
	}
	return flags
}

// otlpKind returns the Span.SpanKind of a kind. The API numbers the kinds in
// another order.
func otlpKind(kind trace.SpanKind) uint64 {
	switch kind {
	case trace.SpanKindInternal:
		return 1
	case trace.SpanKindServer:
		return 2
	case trace.SpanKindClient:
		return 3
	case trace.SpanKindProducer:
		return 4
	case trace.SpanKindConsumer:
		return 5
	}

	return 0
}

func appendStatus(b []byte, s sdktrace.Status) []byte {
	b = appendText(b, 2, s.Description)
	switch s.Code {
	case codes.Ok:
		return appendUint(b, 3, 1)
	case codes.Error:
		return appendUint(b, 3, 2)
	}

	return b
}

func appendEvent(b []byte, e sdktrace.Event) []byte {
	b = appendTime(b, 1, e.Time)
	b = appendText(b, 2, e.Name)
	for _, a := range e.Attributes {
		b = appendKeyValue(b, 3, a)
	}

	return appendUint(b, 4, uint64(e.DroppedAttributeCount))
}

func appendLink(b []byte, l sdktrace.Link) []byte {
	id, span := l.SpanContext.TraceID(), l.SpanContext.SpanID()
	b = appendBytes(b, 1, id[:])
	b = appendBytes(b, 2, span[:])
	b = appendText(b, 3, l.SpanContext.TraceState().String())
	for _, a := range l.Attributes {
		b = appendKeyValue(b, 4, a)
	}

	b = appendUint(b, 5, uint64(l.DroppedAttributeCount))
	return protowire.AppendFixed32(protowire.AppendTag(b, 6, protowire.Fixed32Type),
		otlpFlags(l.SpanContext, l.SpanContext))
}

func appendKeyValue(b []byte, n protowire.Number, a attribute.KeyValue) []byte {
	return message(b, n, func(b []byte) []byte {
		b = appendText(b, 1, string(a.Key))
		return message(b, 2, func(b []byte) []byte { return appendAnyValue(b, a.Value) })
	})
}

// appendAnyValue appends the inside of an AnyValue. A value that is set is
// written even if it is zero.
func appendAnyValue(b []byte, v attribute.Value) []byte {
	switch v.Type() {
	case attribute.STRING:
		return appendString(b, 1, v.AsString())
	case attribute.BOOL:
		return protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType),
			protowire.EncodeBool(v.AsBool()))
	case attribute.INT64:
		return protowire.AppendVarint(protowire.AppendTag(b, 3, protowire.VarintType),
			uint64(v.AsInt64()))
	case attribute.FLOAT64:
		bits := math.Float64bits(v.AsFloat64())
		return protowire.AppendFixed64(protowire.AppendTag(b, 4, protowire.Fixed64Type), bits)
	case attribute.STRINGSLICE:
		return message(b, 5, func(b []byte) []byte {
			for _, text := range v.AsStringSlice() {
				b = message(b, 1, func(b []byte) []byte {
					return appendAnyValue(b,
						attribute.StringValue(text))
				})
			}

			return b
		})
	case attribute.EMPTY:
		return b
	}

	// Kinds that are never recorded are sent as text.
	return appendString(b, 1, v.String())
}
