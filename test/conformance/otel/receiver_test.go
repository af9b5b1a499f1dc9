// Package otel sends the program's exports to the OTLP receiver of the
// OpenTelemetry Collector. It is a separate module, so that the Collector's
// dependencies stay out of the program and of the other suites. The receiver is
// pinned at v0.150.0.
package otel

import (
	"context"
	"os"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// pillion is the program under test, built by TestMain.
var pillion *binary.Binary

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "pillion-otel-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if pillion, err = binary.Build("../../..", dir); err != nil {
		panic(err)
	}

	return m.Run()
}

// collector is the Collector's OTLP receiver on both of its transports.
type collector struct {
	GRPC, HTTP string // addresses
	spans      await.Values[ptrace.Span]
	services   await.Values[string]
	metrics    await.Values[string] // names
}

// startCollector runs a receiver until the test ends.
func startCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{GRPC: free(t), HTTP: free(t)}
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(map[string]any{"protocols": map[string]any{
		"grpc": map[string]any{"endpoint": c.GRPC}, "http": map[string]any{"endpoint": c.HTTP},
	}}).Unmarshal(config); err != nil {
		t.Fatal(err)
	}

	settings := receiver.Settings{
		ID: component.NewID(factory.Type()), TelemetrySettings: componenttest.NewNopTelemetrySettings(),
		BuildInfo: component.NewDefaultBuildInfo(),
	}
	spans, err := consumer.NewTraces(c.takeSpans)
	if err != nil {
		t.Fatal(err)
	}

	sums, err := consumer.NewMetrics(c.takeMetrics)
	if err != nil {
		t.Fatal(err)
	}

	traces, err := factory.CreateTraces(t.Context(), settings, config, spans)
	if err != nil {
		t.Fatal(err)
	}

	metrics, err := factory.CreateMetrics(t.Context(), settings, config, sums)
	if err != nil {
		t.Fatal(err)
	}

	for _, part := range []component.Component{traces, metrics} {
		if err := part.Start(context.Background(), componenttest.NewNopHost()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = part.Shutdown(context.Background()) })
	}

	return c
}

// free returns an address without a listener, because the receiver needs an
// address.
func free(t *testing.T) string {
	t.Helper()
	l := backend.Listen(t)
	defer l.Close()
	return l.Addr().String()
}

func (c *collector) takeSpans(_ context.Context, all ptrace.Traces) error {
	for _, resource := range all.ResourceSpans().All() {
		name, _ := resource.Resource().Attributes().Get("service.name")
		for _, scope := range resource.ScopeSpans().All() {
			for _, s := range scope.Spans().All() {
				own := ptrace.NewSpan() // the receiver uses its memory again
				s.CopyTo(own)
				c.services.Add(name.AsString())
				c.spans.Add(own)
			}
		}
	}

	return nil
}

func (c *collector) takeMetrics(_ context.Context, all pmetric.Metrics) error {
	for _, resource := range all.ResourceMetrics().All() {
		for _, scope := range resource.ScopeMetrics().All() {
			for _, m := range scope.Metrics().All() {
				c.metrics.Add(strings.Clone(m.Name()))
			}
		}
	}

	return nil
}
