package telemetry

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/pillion-lb/pillion/proxy/terminal"
)

// mostWaiting bounds the spans that wait for their parents. The parent may be
// the span of a stream that lasts for hours.
const mostWaiting = 512

// spanTree is the exporter for a terminal. Each span is one line, and the spans
// of its attempts follow below it.
//
//	SERVER GET 1.23ms 200 demo-3 trace=4bf9…
//	└ CLIENT GET 1.1ms 200 demo-3 …
//
// A parent ends after its children, so the children wait here until it ends.
type spanTree struct {
	w      io.Writer
	screen *terminal.Screen

	mu      sync.Mutex
	waiting map[trace.SpanID][]sdktrace.ReadOnlySpan // by the parent's id
	count   int
	written [64]trace.SpanID // to recognise a child that ends after its parent
	next    int
}

func newSpanTree(w io.Writer, screen *terminal.Screen) *spanTree {
	return &spanTree{w: w, screen: screen, waiting: map[trace.SpanID][]sdktrace.ReadOnlySpan{}}
}

// ExportSpans writes the spans that have no parent in this process, each with
// its children, and keeps all others until their parents end. A tree is one
// call of Write. A span that ends after its parent, such as that of a mirrored
// request, is written alone.
func (t *spanTree) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var roots []sdktrace.ReadOnlySpan
	for _, s := range spans {
		parent := s.Parent()
		if !parent.IsValid() || parent.IsRemote() || slices.Contains(t.written[:], parent.SpanID()) {
			roots = append(roots, s)
			continue
		}
		t.waiting[parent.SpanID()] = append(t.waiting[parent.SpanID()], s)
		t.count++
	}

	for _, s := range roots {
		if err := t.write(s); err != nil {
			return err
		}
	}
	if t.count > mostWaiting {
		return t.writeOrphans()
	}

	return nil
}

// Shutdown writes the spans that still wait.
func (t *spanTree) Shutdown(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()

	return t.writeOrphans()
}

// writeOrphans writes all spans that wait for a parent.
func (t *spanTree) writeOrphans() error {
	for parent, spans := range t.waiting {
		delete(t.waiting, parent)
		t.count -= len(spans)
		for _, s := range spans {
			if err := t.write(s); err != nil {
				return err
			}
		}
	}

	return nil
}

// write writes a span with all spans below it.
func (t *spanTree) write(s sdktrace.ReadOnlySpan) error {
	if _, err := t.w.Write(t.append(nil, s, 0)); err != nil {
		return fmt.Errorf("write span: %w", err)
	}

	return nil
}

// append appends the line of a span and the lines below it.
func (t *spanTree) append(b []byte, s sdktrace.ReadOnlySpan, depth int) []byte {
	line := strings.Repeat(" ", len(screenClock)+1)
	if depth > 0 {
		line += strings.Repeat("  ", depth-1) + "└ "
	}
	b = append(b, terminal.Cut(line+t.text(s, depth == 0), t.screen.Width())...)
	b = append(b, '\n')

	id := s.SpanContext().SpanID()
	t.written[t.next] = id
	t.next = (t.next + 1) % len(t.written)

	below := t.waiting[id]
	delete(t.waiting, id)
	t.count -= len(below)
	for _, child := range below {
		b = t.append(b, child, depth+1)
	}

	return b
}

// text returns the line of a span, with the most important attributes first.
func (t *spanTree) text(s sdktrace.ReadOnlySpan, root bool) string {
	var first [3]string
	var rest []attribute.KeyValue
	for _, a := range s.Attributes() {
		switch a.Key {
		case "http.response.status_code":
			first[0] = a.Value.String()
		case "lb.backend.name":
			first[1] = a.Value.AsString()
		case "error.type":
			first[2] = a.Value.AsString()
		default:
			rest = append(rest, a)
		}
	}

	colour := terminal.Green
	if s.Status().Code == codes.Error {
		colour = terminal.Red
	}
	b := t.screen.Append(nil, colour, kindName(s))
	b = append(b, ' ')
	b = appendPlain(b, s.Name(), longestName)
	b = append(append(b, ' '), shortDuration(s.EndTime().Sub(s.StartTime()))...)
	for _, word := range first {
		if word != "" {
			b = append(b, ' ')
			b = appendPlain(b, word, longestName)
		}
	}
	if root {
		b = fmt.Appendf(b, " trace=%s", s.SpanContext().TraceID())
	}
	b = appendAttributes(b, rest)

	return string(b)
}
