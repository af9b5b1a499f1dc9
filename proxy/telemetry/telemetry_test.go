package telemetry

import (
	"bytes"
	"context"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/pillion-lb/pillion/config"
)

func tracesConfig(exporter string) *config.Config {
	return &config.Config{
		Process:   config.Process{Role: config.Ingress},
		Telemetry: config.Telemetry{TracesExporter: config.Exporter(exporter), PlatformUnsampled: -1},
	}
}

// loaded is what a process with this environment is configured with.
func loaded(t *testing.T, pairs ...string) *config.Config {
	t.Helper()
	cfg, problems := config.Load(append([]string{"LB_BACKENDS=:9000"}, pairs...))
	if problems = append(problems, cfg.Telemetry.Warnings...); len(problems) > 0 {
		t.Fatal(problems)
	}
	return cfg
}

// running sets up telemetry and runs it until the test ends.
func running(t *testing.T, cfg *config.Config, opts Options) *Telemetry {
	t.Helper()
	tel, err := Setup(t.Context(), cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { _ = tel.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return tel
}

var (
	traceID  = trace.TraceID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	parentID = trace.SpanID{8, 7, 6, 5, 4, 3, 2, 1}
)

func remote(sampled bool) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: traceID, SpanID: parentID, Remote: true, TraceFlags: trace.FlagsSampled.WithSampled(sampled),
	})
}

// oneRetry records what a request with one retry records.
func oneRetry(tracing *Tracing, parent trace.SpanContext, id trace.TraceID) {
	tracing.RequestStarted()
	ctx, server := tracing.Start(parent, id, "GET", time.Now(), attribute.String("http.request.method", "GET"))
	for range 2 {
		_, client := tracing.Tracer().Start(ctx, "GET", trace.WithSpanKind(trace.SpanKindClient))
		client.End()
	}
	server.End()
	tracing.RequestEnded()
}

func checkTree(t *testing.T, spans []*tracepb.Span, id trace.TraceID, parent trace.SpanID) {
	t.Helper()
	if len(spans) != 3 {
		t.Fatalf("%d spans, want 3", len(spans))
	}
	server := spans[2]
	if server.Kind != tracepb.Span_SPAN_KIND_SERVER {
		t.Errorf("kind of the last span is %v", server.Kind)
	}
	wantParent := ""
	if parent.IsValid() {
		wantParent = parent.String()
	}
	if got := hex.EncodeToString(server.ParentSpanId); got != wantParent {
		t.Errorf("parent of the SERVER span is %q, want %q", got, wantParent)
	}
	for _, span := range spans {
		if got := hex.EncodeToString(span.TraceId); got != id.String() {
			t.Errorf("trace id %s, want %s", got, id)
		}
	}
	for _, client := range spans[:2] {
		if client.Kind != tracepb.Span_SPAN_KIND_CLIENT || !bytes.Equal(client.ParentSpanId, server.SpanId) {
			t.Errorf("%v span has parent %x, want %x", client.Kind, client.ParentSpanId, server.SpanId)
		}
	}
}

func TestSetup_NothingConfiguredCostsNothing(t *testing.T) {
	t.Parallel()
	tel := running(t, &config.Config{}, Options{})
	if tel.Tracing() != nil || tel.Meter() != nil || tel.MetricsHandler() != nil {
		t.Errorf("Tracing %v, Meter %v, MetricsHandler %v, want none", tel.Tracing(), tel.Meter(), tel.MetricsHandler())
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSetup_SpansArriveByHTTPWithTheEnvironmentsResource(t *testing.T) {
	t.Parallel()
	c := newCollector(t)
	tel := running(t, loaded(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.server.URL,
		"OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test,service.version=9"), Options{Version: "1.2.3"})
	oneRetry(tel.Tracing(), remote(true), trace.TraceID{})
	checkTree(t, c.await(t, 3), traceID, parentID)
	got := map[string]string{}
	for _, a := range c.resources[0].Attributes {
		got[a.Key] = a.Value.GetStringValue()
	}
	if got["service.name"] != "pillion" || got["service.version"] != "9" || got["deployment.environment.name"] != "test" ||
		len(got["service.instance.id"]) != 36 {
		t.Errorf("resource %v", got)
	}
}

func TestSetup_SpansArriveByGRPC(t *testing.T) {
	t.Parallel()
	c := newCollector(t)
	tel := running(t, loaded(t, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://"+c.listenGRPC(t),
		"OTEL_EXPORTER_OTLP_PROTOCOL=grpc"), Options{})
	root := trace.TraceID{9, 9}
	oneRetry(tel.Tracing(), trace.SpanContext{}, root)
	checkTree(t, c.await(t, 3), root, trace.SpanID{})
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestConsole_OneReadableLinePerSpan(t *testing.T) {
	t.Parallel()
	lines := make(chan string, 3)
	tel := running(t, tracesConfig("console"), Options{Stdout: writerFunc(func(p []byte) (int, error) {
		lines <- string(p)
		return len(p), nil
	})})
	oneRetry(tel.Tracing(), remote(true), trace.TraceID{})
	for _, kind := range []string{" CLIENT ", " CLIENT ", " SERVER "} {
		line := <-lines
		if !strings.HasPrefix(line, "span ") || !strings.Contains(line, kind) || strings.Count(line, "\n") != 1 ||
			!strings.Contains(line, "trace="+traceID.String()) || !strings.Contains(line, " parent=") {
			t.Errorf("line %q, want one of a %s span", line, kind)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

var (
	clientKind = trace.WithSpanKind(trace.SpanKindClient)
	attributes = []attribute.KeyValue{
		attribute.String("http.request.method", "GET"), attribute.String("url.path", "/"),
		attribute.String("url.scheme", "http"), attribute.Int("http.response.status_code", 200),
		attribute.String("server.address", "localhost"), attribute.Int("server.port", 8080),
		attribute.String("lb.pick", "random"), attribute.String("lb.backend", "blue"),
	}
)
