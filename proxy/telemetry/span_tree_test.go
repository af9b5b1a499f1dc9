package telemetry

import (
	"bytes"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// treeSpan is an ended span; parent 0 is none.
func treeSpan(name string, id, parent byte) sdktrace.ReadOnlySpan {
	of := func(id byte) trace.SpanContext {
		if id == 0 {
			return trace.SpanContext{}
		}
		return trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: traceID, SpanID: trace.SpanID{id}, TraceFlags: trace.FlagsSampled,
		})
	}
	now := time.Now()

	return tracetest.SpanStub{
		Name: name, SpanContext: of(id), Parent: of(parent), StartTime: now, EndTime: now.Add(time.Millisecond),
	}.Snapshot()
}

// names are the names of the lines, with what shows their depth.
func names(text string) (list []string) {
	for line := range strings.Lines(text) {
		before, _, _ := strings.Cut(strings.TrimSpace(line), " 1ms")
		list = append(list, strings.ReplaceAll(before, "span ", ""))
	}

	return list
}

func TestSpanTree_ParentsComeFirst(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	tree := newSpanTree(&out, nil)
	export := func(want string, spans ...sdktrace.ReadOnlySpan) {
		t.Helper()
		out.Reset()
		if err := tree.ExportSpans(t.Context(), spans); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(names(out.String()), "|"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}

	export("root|└ try", treeSpan("try", 2, 1), treeSpan("root", 1, 0))
	export("", treeSpan("first", 12, 11), treeSpan("second", 13, 11))
	export("other|└ first|└ second", treeSpan("other", 11, 0))
	export("copy", treeSpan("copy", 14, 11)) // its parent was written before
	export("", treeSpan("orphan", 22, 21))
	out.Reset()
	if err := tree.Shutdown(t.Context()); err != nil || strings.Join(names(out.String()), "|") != "orphan" {
		t.Errorf("at the end: %q, %v", out.String(), err)
	}
}

func TestSpanTree_WhatWaitsIsBounded(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	tree := newSpanTree(&out, nil)
	for range mostWaiting + 1 {
		if err := tree.ExportSpans(t.Context(), []sdktrace.ReadOnlySpan{treeSpan("orphan", 2, 1)}); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(out.String(), "\n"); n != mostWaiting+1 || tree.count != 0 || len(tree.waiting) != 0 {
		t.Errorf("%d lines, and %d spans wait", n, tree.count)
	}
}
