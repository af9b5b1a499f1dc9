package telemetry

import (
	"context"
	"fmt"
	"io"
	"net/http"

	promclient "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutmetric"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/pillion-lb/pillion/config"
)

// metrics collects what instruments record, and exports it or shows it as text.
type metrics struct {
	provider *sdkmetric.MeterProvider
	meter    metric.Meter
	handler  http.Handler // nil: no text
}

// newMetrics returns nil when nobody would ever see a metric.
func newMetrics(
	ctx context.Context, cfg *config.Config, res *lateResource, h *health, version string, stdout io.Writer,
) (*metrics, error) {
	if !metricsWanted(cfg) {
		return nil, nil
	}
	m := &metrics{}
	options := []sdkmetric.Option{sdkmetric.WithResource(res.base)}
	if cfg.Telemetry.Metrics() && cfg.Telemetry.MetricsExporter != "prometheus" {
		exporter, err := newMetricExporter(ctx, cfg.Telemetry, stdout)
		if err != nil {
			return nil, fmt.Errorf("make metric exporter: %w", err)
		}
		reader := sdkmetric.NewPeriodicReader(&metricExporter{exporter, res, h})
		options = append(options, sdkmetric.WithReader(reader))
	}
	if cfg.Telemetry.MetricsExporter == "prometheus" || cfg.Process.StatusToken != nil {
		registry := promclient.NewRegistry()
		reader, err := prometheus.New(prometheus.WithRegisterer(registry), prometheus.WithoutScopeInfo())
		if err != nil {
			return nil, fmt.Errorf("make prometheus exporter: %w", err)
		}
		options = append(options, sdkmetric.WithReader(reader))
		m.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
	}
	m.provider = sdkmetric.NewMeterProvider(options...)
	m.meter = m.provider.Meter(scopeName, metric.WithInstrumentationVersion(version), metric.WithSchemaURL(semconv.SchemaURL))
	return m, nil
}

// metricsWanted reports whether metrics are exported, or can be read by who has the token of the status path.
func metricsWanted(cfg *config.Config) bool {
	t := cfg.Telemetry
	return t.Metrics() || cfg.Process.StatusToken != nil && !t.Disabled && t.MetricsExporter != "none"
}

// newMetricExporter is newSpanExporter for metrics.
func newMetricExporter(ctx context.Context, t config.Telemetry, stdout io.Writer) (sdkmetric.Exporter, error) {
	if t.MetricsExporter == "console" {
		return stdoutmetric.New(stdoutmetric.WithWriter(stdout))
	}
	if t.MetricsProtocol == "grpc" {
		var options []otlpmetricgrpc.Option
		if !t.MetricsEndpoint {
			options = append(options, otlpmetricgrpc.WithInsecure())
		}
		return otlpmetricgrpc.New(ctx, options...)
	}
	var options []otlpmetrichttp.Option
	if !t.MetricsEndpoint {
		options = append(options, otlpmetrichttp.WithInsecure())
	}
	return otlpmetrichttp.New(ctx, options...)
}

// metricExporter completes the resource, tries again when a connection broke, and says in the log when it stops and
// begins to work. Errors end here: metrics are sums, the next export says it all.
type metricExporter struct {
	sdkmetric.Exporter
	resource *lateResource
	health   *health
}

// Export delivers one collection.
func (e *metricExporter) Export(ctx context.Context, rm *metricdata.ResourceMetrics) error {
	if full := e.resource.now(); full != nil {
		defer func(base *resource.Resource) { rm.Resource = base }(rm.Resource)
		rm.Resource = full
	}
	err := e.Exporter.Export(ctx, rm)
	if err != nil && connectionFailed(err) && ctx.Err() == nil {
		err = e.Exporter.Export(ctx, rm)
	}
	if err != nil {
		e.health.failing(err)
		return nil
	}
	e.health.working(0)
	return nil
}

// observe adds the counts of what telemetry itself lost. A nil function is left out.
func (m *metrics) observe(spans, lines func() int64) error {
	for _, c := range []struct {
		name, unit, about string
		count             func() int64
	}{
		{"lb.telemetry.spans.dropped", "{span}", "Ended spans that were not delivered to a collector.", spans},
		{"lb.log.lines.dropped", "{line}", "Log lines that were dropped because the output was blocked.", lines},
	} {
		if c.count == nil {
			continue
		}
		_, err := m.meter.Int64ObservableCounter(c.name, metric.WithUnit(c.unit), metric.WithDescription(c.about),
			metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
				o.Observe(c.count())
				return nil
			}))
		if err != nil {
			return fmt.Errorf("make counter %s: %w", c.name, err)
		}
	}
	return nil
}
