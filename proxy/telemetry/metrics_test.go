package telemetry

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/trace"
	colmetricpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/protobuf/proto"

	"github.com/pillion-lb/pillion/config"
)

func withToken(t config.Telemetry) *config.Config {
	return &config.Config{
		Process:   config.Process{Role: config.Ingress, StatusToken: config.NewSecret("0123456789abcdef"), LogFormat: "json"},
		Telemetry: t,
	}
}

func TestMetrics_TextHasOwnLossesAndExemplars(t *testing.T) {
	t.Parallel()
	cfg := withToken(config.Telemetry{})
	log := NewLogger(io.Discard, cfg)
	log.queue.dropped.Add(7)
	tel := running(t, cfg, Options{Log: log})
	duration, err := tel.Meter().Float64Histogram("http.server.request.duration", metric.WithUnit("s"),
		metric.WithExplicitBucketBoundaries(0.005, 0.01))
	if err != nil {
		t.Fatal(err)
	}
	ctx := trace.ContextWithSpanContext(t.Context(), remote(true))
	duration.Record(ctx, 0.007, metric.WithAttributes(attribute.String("http.request.method", "GET")))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Accept", "application/openmetrics-text")
	w := httptest.NewRecorder()
	tel.MetricsHandler().ServeHTTP(w, r)
	text := w.Body.String()
	for _, want := range []string{
		"lb_log_lines_dropped_total 7",
		`http_server_request_duration_seconds_bucket{http_request_method="GET",le="0.005"} 0`,
		`http_server_request_duration_seconds_bucket{http_request_method="GET",le="0.01"} 1 # {`,
		`trace_id="` + traceID.String() + `"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing in\n%s", want, text)
		}
	}
}

func TestMetrics_AreOffWithoutReaders(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]*config.Config{
		"disabled": withToken(config.Telemetry{Disabled: true, MetricsExporter: "prometheus"}),
		"none": withToken(config.Telemetry{MetricsExporter: "none",
			MetricsReceiver: config.Receiver{Endpoint: "http://localhost:1"}}),
		"traces": tracesConfig("console"),
	} {
		if tel := running(t, cfg, Options{}); tel.Meter() != nil || tel.MetricsHandler() != nil {
			t.Errorf("%s: there are metrics", name)
		}
	}
}

func TestMetrics_ArriveByHTTPAtTheEnd(t *testing.T) {
	var mu sync.Mutex
	var names []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var request colmetricpb.ExportMetricsServiceRequest
		if err := proto.Unmarshal(body, &request); err != nil || r.URL.Path != "/v1/metrics" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, m := range request.ResourceMetrics[0].ScopeMetrics[0].Metrics {
			names = append(names, m.Name)
		}
	}))
	defer server.Close()
	tel := running(t, loaded(t, "OTEL_TRACES_EXPORTER=none", "OTEL_EXPORTER_OTLP_ENDPOINT="+server.URL),
		Options{Log: NewLogger(io.Discard, &config.Config{})})
	if tel.Tracing() != nil {
		t.Error("there is tracing")
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(names) != 1 || names[0] != "lb.log.lines.dropped" {
		t.Errorf("metrics %v", names)
	}
}

// fakeMetricExporter fails as it is told and remembers the resource.
type fakeMetricExporter struct {
	sdkmetric.Exporter
	err error
	got *resource.Resource
}

func (e *fakeMetricExporter) Export(_ context.Context, rm *metricdata.ResourceMetrics) error {
	e.got = rm.Resource
	return e.err
}

func TestMetrics_FailureIsSaidOncePerChangeAndTheResourceIsCompleted(t *testing.T) {
	t.Parallel()
	var said lockedBuffer
	inner := &fakeMetricExporter{err: errors.New("refused")}
	late := newLateResource(resource.Empty(), true)
	e := &metricExporter{inner, late, &health{logger: slog.New(slog.NewTextHandler(&said, nil)), what: "metrics"},
		&lastFailure{}}
	base := resource.Empty()
	rm := &metricdata.ResourceMetrics{Resource: base}
	for _, err := range []error{nil, errors.New("refused"), errors.New("refused"), nil, nil} {
		inner.err = err
		if err := e.Export(t.Context(), rm); err != nil {
			t.Error(err)
		}
	}
	if n := strings.Count(said.String(), "\n"); n != 2 {
		t.Errorf("%d lines, want 2:\n%s", n, &said)
	}
	if inner.got != base {
		t.Error("the resource was replaced before it was complete")
	}
	late.complete(slices.Clone(attributes[:1]))
	_ = e.Export(t.Context(), rm)
	if inner.got.Len() != 1 || rm.Resource != base {
		t.Errorf("exported resource %v, the reader's is now %v", inner.got, rm.Resource)
	}
}
