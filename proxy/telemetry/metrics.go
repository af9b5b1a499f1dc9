package telemetry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	promclient "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/pillion-lb/pillion/config"
)

// metrics collects the values of all instruments, and exports them or shows
// them as text.
type metrics struct {
	provider *sdkmetric.MeterProvider
	meter    metric.Meter
	handler  http.Handler // nil if there is no text
}

// newMetrics makes the metrics. It returns nil if they are neither exported nor
// readable.
func newMetrics(
	ctx context.Context, cfg *config.Config, res *lateResource, h *health, version string,
	stdout io.Writer,
) (*metrics, error) {
	if !metricsWanted(cfg) {
		return nil, nil
	}
	m, to := &metrics{}, &receiver{Receiver: cfg.Telemetry.MetricsReceiver}
	options := []sdkmetric.Option{sdkmetric.WithResource(res.base)}
	if cfg.Telemetry.Metrics() && cfg.Telemetry.MetricsExporter != config.ExportPrometheus {
		exporter, err := newMetricExporter(ctx, cfg.Telemetry, to, stdout)
		if err != nil {
			return nil, fmt.Errorf("make metric exporter: %w", err)
		}
		reader := sdkmetric.NewPeriodicReader(&metricExporter{exporter, res, h, &to.failure},
			sdkmetric.WithInterval(time.Duration(cfg.Telemetry.MetricInterval)*time.Millisecond),
			sdkmetric.WithTimeout(time.Duration(cfg.Telemetry.MetricTimeout)*time.Millisecond))
		options = append(options, sdkmetric.WithReader(reader))
	}
	if cfg.Telemetry.MetricsExporter == config.ExportPrometheus || cfg.Process.StatusToken != nil {
		registry := promclient.NewRegistry()
		reader, err := prometheus.New(prometheus.WithRegisterer(registry),
			prometheus.WithoutScopeInfo())
		if err != nil {
			return nil, fmt.Errorf("make prometheus exporter: %w", err)
		}
		options = append(options, sdkmetric.WithReader(reader))
		m.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
	}
	m.provider = sdkmetric.NewMeterProvider(options...)
	m.meter = m.provider.Meter(scopeName, metric.WithInstrumentationVersion(version),
		metric.WithSchemaURL(semconv.SchemaURL))
	return m, nil
}

// metricsWanted reports whether metrics are exported, or can be read with the
// token of the status path.
func metricsWanted(cfg *config.Config) bool {
	t := cfg.Telemetry
	return t.Metrics() || cfg.Process.StatusToken != nil && !t.Disabled &&
		t.MetricsExporter != config.ExportNone
}

// metricExporter completes the resource, tries again if a connection broke, and
// logs when exports begin to fail and to work again. It returns no errors:
// metrics are sums, so the next export includes what one has lost.
type metricExporter struct {
	sdkmetric.Exporter
	resource *lateResource
	health   *health
	failure  *lastFailure
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
		e.health.failing(e.failure.explain(err))
		return nil
	}

	e.health.working(0)
	return nil
}

// observe adds the counts of spans and lines that telemetry itself has lost. A
// nil function is left out.
func (m *metrics) observe(spans, lines func() int64) error {
	for _, c := range []struct {
		name, unit, about string
		count             func() int64
	}{
		{"lb.telemetry.spans.dropped", "{span}",
			"Ended spans that were not delivered to a collector.", spans},
		{"lb.log.lines.dropped", "{line}", "Log lines that were dropped because the output was blocked.",
			lines},
	} {
		if c.count == nil {
			continue
		}

		_, err := m.meter.Int64ObservableCounter(c.name, metric.WithUnit(c.unit),
			metric.WithDescription(c.about),
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
