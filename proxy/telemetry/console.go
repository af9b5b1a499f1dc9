package telemetry

import (
	"context"
	"fmt"
	"io"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// console is an exporter for development: one line of text per span.
//
//	span 10:22:17.123 SERVER GET 1.23ms trace=4bf9… span=00f0… http.response.status_code=200 …
type console struct{ w io.Writer }

// ExportSpans writes one line per span, with one call of Write each.
func (c console) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	var line []byte
	for _, span := range spans {
		line = appendSpan(line[:0], span)
		if _, err := c.w.Write(line); err != nil {
			return fmt.Errorf("write span: %w", err)
		}
	}

	return nil
}

// Shutdown does nothing.
func (console) Shutdown(context.Context) error { return nil }

func appendSpan(b []byte, s sdktrace.ReadOnlySpan) []byte {
	b = append(b, "span "...)
	b = s.StartTime().Local().AppendFormat(b, clock)
	b = fmt.Appendf(b, " %-6s ", kindName(s))
	b = appendPlain(b, s.Name(), longestName)
	b = append(b, ' ')
	b = append(b, shortDuration(s.EndTime().Sub(s.StartTime()))...)
	if status := s.Status(); status.Code == codes.Error {
		b = append(b, " ERROR"...)
		b = appendPair(b, "description", status.Description, longestAttr)
	}

	b = fmt.Appendf(b, " trace=%s span=%s", s.SpanContext().TraceID(), s.SpanContext().SpanID())
	if s.Parent().SpanID().IsValid() {
		b = fmt.Appendf(b, " parent=%s", s.Parent().SpanID())
	}

	b = appendAttributes(b, s.Attributes())
	for _, event := range s.Events() {
		b = append(b, " event="...)
		b = appendValue(b, event.Name, longestName)
		b = appendAttributes(b, event.Attributes)
	}

	return append(b, '\n')
}

func kindName(s sdktrace.ReadOnlySpan) string {
	switch s.SpanKind().String() {
	case "server":
		return "SERVER"
	case "client":
		return "CLIENT"
	}

	return "span"
}

func appendAttributes(b []byte, attrs []attribute.KeyValue) []byte {
	for _, a := range attrs {
		b = append(b, ' ')
		b = append(b, a.Key...)
		b = append(b, '=')
		b = appendValue(b, a.Value.String(), longestAttr)
	}

	return b
}
