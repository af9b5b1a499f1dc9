package telemetry

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// fill calls every method of a span, with more attributes and events than small
// limits allow.
func fill(s trace.Span) {
	at := time.Unix(7, 0)
	s.SetAttributes(attribute.String("a", "1"), attribute.Int("b", 2), attribute.KeyValue{}, attribute.String("a", "3"))
	s.SetAttributes(attribute.String("long", strings.Repeat("ü", 9)+"\xff"+strings.Repeat("x", 9)))
	for i := range 30 {
		s.SetAttributes(attribute.Int(fmt.Sprint("n", i), i))
		s.AddEvent(fmt.Sprint("e", i), trace.WithTimestamp(at), trace.WithAttributes(attributes...))
	}
	s.SetAttributes(attribute.Bool("b", true), attribute.Bool("late", true))
	s.SetStatus(codes.Error, "first")
	s.SetStatus(codes.Unset, "no")
	s.SetName("renamed")
	s.RecordError(errors.New("broken"), trace.WithTimestamp(at))
	s.RecordError(nil)
	s.End(trace.WithTimestamp(at))
	s.SetName("too late")
	s.SetAttributes(attribute.Bool("too late", true))
	s.AddEvent("too late")
	s.SetStatus(codes.Ok, "")
	s.End()
}

// facts returns all that a span records except its random id.
func facts(s sdktrace.ReadOnlySpan) string {
	return fmt.Sprint(s.Name(), s.SpanContext().TraceID(), s.SpanContext().TraceFlags(), s.SpanContext().TraceState(),
		s.SpanContext().IsRemote(), s.Parent(), s.SpanKind(), s.StartTime(), s.EndTime(), s.Attributes(), s.Events(),
		len(s.Links()), s.Status(), s.DroppedAttributes(), s.DroppedEvents(), s.DroppedLinks(), s.ChildSpanCount())
}

func TestSpan_SaysWhatTheSDKsSays(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"defaults": {},
		"limits": {
			"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "10", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "5",
			"OTEL_SPAN_EVENT_COUNT_LIMIT": "4", "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": "2",
		},
		"a character less than there is": {"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "18"},
		"next to nothing":                {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "0", "OTEL_SPAN_EVENT_COUNT_LIMIT": "1"},
	} {
		t.Run(name, func(t *testing.T) {
			for variable, value := range env {
				t.Setenv(variable, value)
			}
			state, _ := trace.ParseTraceState("k=v")
			parent := remote(true).WithTraceState(state).WithTraceFlags(3)
			start := time.Unix(3, 0)
			var theirs, ours keeper
			sdk := sdktrace.NewTracerProvider(sdktrace.WithSyncer(&theirs)).Tracer("")
			ctx := trace.ContextWithRemoteSpanContext(t.Context(), parent)
			ctx, s := sdk.Start(ctx, "GET", serverKind, trace.WithTimestamp(start), trace.WithAttributes(attributes...))
			_, child := sdk.Start(ctx, "child", trace.WithTimestamp(start))
			fill(s)
			fill(child)
			tracing := tracingTo(&ours, testLimits)
			ctx, s = tracing.Start(parent, trace.TraceID{}, "GET", start, attributes...)
			_, child = tracing.Tracer().Start(ctx, "child", trace.WithTimestamp(start))
			fill(s)
			fill(child)
			flush(t, tracing)
			if got, want := facts(ours[0]), facts(theirs[0]); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if got, want := ours[1].Parent().SpanID(), ours[0].SpanContext().SpanID(); got != want {
				t.Errorf("the child's parent is %s, want %s", got, want)
			}
		})
	}
}

var serverKind = trace.WithSpanKind(trace.SpanKindServer)

func TestSpan_StartClientIsTracersStart(t *testing.T) {
	t.Parallel()
	var kept keeper
	tracing := tracingTo(&kept, testLimits)
	start := time.Now()
	ctx, server := tracing.Start(trace.SpanContext{}, traceID, "GET", start)
	client := tracing.StartClient(server, "GET", start, attributes...)
	_, same := tracing.Tracer().Start(ctx, "GET", clientKind, trace.WithTimestamp(start),
		trace.WithAttributes(attributes...))
	for _, s := range []trace.Span{client, same, server} {
		if !s.IsRecording() {
			t.Error("a span does not record before its end")
		}
		s.End(trace.WithTimestamp(start))
	}
	flush(t, tracing)
	if got, want := facts(kept[0]), facts(kept[1]); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if kept[2].ChildSpanCount() != 2 || kept[0].Parent().SpanID() != kept[2].SpanContext().SpanID() {
		t.Errorf("%d children of %v, which name %v", kept[2].ChildSpanCount(), kept[2].SpanContext(), kept[0].Parent())
	}
}

func TestSpan_RootsOfTheTracerGetIdsOfTheirOwn(t *testing.T) {
	t.Parallel()
	tracing := tracingTo(&keeper{}, testLimits)
	ctx, server := tracing.Start(trace.SpanContext{}, traceID, "GET", time.Now())
	_, below := server.TracerProvider().Tracer("").Start(ctx, "below")
	_, root := tracing.Tracer().Start(ctx, "root", trace.WithNewRoot())
	if below.SpanContext().TraceID() != traceID || root.SpanContext().TraceID() == traceID ||
		!root.SpanContext().IsValid() {
		t.Errorf("below %v, root %v", below.SpanContext(), root.SpanContext())
	}
}

func TestSpan_EndsOnceWhoeverTellsItWhat(t *testing.T) {
	t.Parallel()
	e := &fakeExporter{}
	tracing := tracingTo(e, testLimits)
	_, s := tracing.Start(trace.SpanContext{}, traceID, "GET", time.Now())
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() { fill(s) })
	}
	group.Wait()
	flush(t, tracing)
	if e.delivered() != 1 || len(e.batches) != 1 || e.batches[0] != 1 {
		t.Errorf("batches %v, want one of one span", e.batches)
	}
}
