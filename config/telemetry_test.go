package config

import (
	"strings"
	"testing"
)

func TestTelemetry_AnUnsupportedValueIsAWarningAndCountsAsUnset(t *testing.T) {
	t.Parallel()
	for _, pair := range []string{
		"OTEL_SDK_DISABLED=maybe", "OTEL_TRACES_EXPORTER=zipkin", "OTEL_TRACES_EXPORTER=otlp,console",
		"OTEL_METRICS_EXPORTER=statsd", "OTEL_TRACES_SAMPLER=jaeger_remote", "OTEL_TRACES_SAMPLER_ARG=2",
		"OTEL_TRACES_SAMPLER_ARG=NaN", "OTEL_PROPAGATORS=tracecontext,b3", "OTEL_EXPORTER_OTLP_PROTOCOL=http/json",
		"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=thrift", "OTEL_EXPORTER_OTLP_ENDPOINT=collector:4317",
		"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=ftp://c", "OTEL_EXPORTER_OTLP_TIMEOUT=10s",
		"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT=-1", "OTEL_EXPORTER_OTLP_COMPRESSION=zstd",
		"OTEL_EXPORTER_OTLP_METRICS_COMPRESSION=br", "OTEL_EXPORTER_OTLP_INSECURE=1",
		"OTEL_EXPORTER_OTLP_CERTIFICATE=/nonexistent", "OTEL_BSP_SCHEDULE_DELAY=5s", "OTEL_BSP_EXPORT_TIMEOUT=x",
		"OTEL_BSP_MAX_QUEUE_SIZE=0", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=many", "OTEL_METRIC_EXPORT_INTERVAL=1m",
		"OTEL_EXPORTER_OTLP_HEADERS=api-key", "OTEL_EXPORTER_OTLP_HEADERS=Authorization: Basic aHVzaA==",
		"OTEL_EXPORTER_OTLP_TRACES_HEADERS=a=b,=c", "OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=prod,team",
	} {
		name, _, _ := strings.Cut(pair, "=")
		c, problems := given(pair)
		if len(problems) > 0 {
			t.Errorf("%s: stopped the start: %v", pair, problems)
		}
		w := c.Telemetry.Warnings
		if len(w) != 1 || w[0].Variable != name || !strings.HasSuffix(w[0].Reason, "counts as unset") || w[0].Accepted == "" {
			t.Errorf("%s: got %q", pair, w)
		}
		unset, _ := given()
		if got, want := c.Telemetry, unset.Telemetry; got.Disabled != want.Disabled ||
			got.TracesExporter != want.TracesExporter ||
			got.MetricsExporter != want.MetricsExporter || got.Sampler != want.Sampler || got.SamplerArg != want.SamplerArg ||
			got.TracesReceiver != want.TracesReceiver || got.MetricsReceiver != want.MetricsReceiver ||
			len(got.Attributes) > 0 ||
			got.BatchQueue != want.BatchQueue || got.BatchSize != want.BatchSize || got.BatchDelay != want.BatchDelay ||
			got.BatchTimeout != want.BatchTimeout ||
			len(got.Propagators) != len(want.Propagators) {
			t.Errorf("%s: counts for something: %+v", pair, got)
		}
	}
}

func TestTelemetry_ExportIsOnWithAnExporterOrAnEndpoint(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pairs           []string
		traces, metrics bool
	}{
		{nil, false, false},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318"}, true, true},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", "OTEL_TRACES_EXPORTER=none"}, false, true},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", "OTEL_SDK_DISABLED=true"}, false, false},
		{[]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=https://c"}, false, true},
		{[]string{"OTEL_TRACES_EXPORTER=console"}, true, false},
		{[]string{"OTEL_METRICS_EXPORTER=prometheus", "LB_STATUS_TOKEN=" + key}, false, true},
	} {
		c := accepted(t, test.pairs...).Telemetry
		if c.Traces() != test.traces || c.Metrics() != test.metrics {
			t.Errorf("%q: traces %t, metrics %t", test.pairs, c.Traces(), c.Metrics())
		}
	}
}

func TestTelemetry_HeadersAreSecretAlsoWhenTheirsIsTheOnlyProblem(t *testing.T) {
	t.Parallel()
	c := accepted(t, "OTEL_EXPORTER_OTLP_HEADERS=authorization=hush")
	for _, s := range c.Settings() {
		if strings.Contains(s.Value, "hush") {
			t.Errorf("%s shows it", s.Name)
		}
	}
}

func TestTelemetry_PrometheusWithoutAReaderIsAWarningAndCountsAsNone(t *testing.T) {
	t.Parallel()
	for _, pairs := range [][]string{
		{"OTEL_METRICS_EXPORTER=prometheus"},
		{"OTEL_METRICS_EXPORTER=Prometheus", "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318"},
		{"OTEL_METRICS_EXPORTER=prometheus", "LB_STATUS_TOKEN=" + key, "LB_STATUS_PATH=none"},
	} {
		c, problems := given(pairs...)
		w := c.Telemetry.Warnings
		if len(problems) > 0 || len(w) != 1 || w[0].Variable != "OTEL_METRICS_EXPORTER" ||
			!strings.Contains(w[0].String(), "LB_STATUS_") {
			t.Errorf("%q: problems %v, warnings %v", pairs, problems, w)
		}
		if c.Telemetry.Metrics() {
			t.Errorf("%q: metrics are on, and nobody can read them", pairs)
		}
	}
	accepted(t, "OTEL_METRICS_EXPORTER=prometheus", "OTEL_SDK_DISABLED=true")
}
