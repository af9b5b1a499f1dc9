package config

import (
	"math"
	"strings"
)

// telemetryVariables are the rows of OpenTelemetry that we or its SDK act on. An unsupported value never stops the
// start: platforms put values there that are meant for programs in other languages.
func telemetryVariables() []Variable {
	rows := []Variable{
		{Name: "OTEL_SDK_DISABLED", Default: "false", Example: "true", form: toggle(),
			Sentence: "true turns spans and metrics off."},
		{Name: "OTEL_SERVICE_NAME", Shown: "K_SERVICE, else pillion", Example: "shop-lb", form: anything("a name"),
			Sentence: "The service.name of spans and metrics."},
		{Name: "OTEL_RESOURCE_ATTRIBUTES", Example: "deployment.environment.name=prod", form: pairs(),
			Sentence: "Further attributes of the resource."},
		{Name: "OTEL_TRACES_EXPORTER", Shown: "otlp when an OTLP endpoint is set, else none", Example: "console", form: choice("otlp", "console", "none"),
			Sentence: "Where spans go."},
		{Name: "OTEL_METRICS_EXPORTER", Shown: "otlp when an OTLP endpoint is set, else none", Example: "prometheus", form: choice("otlp", "console", "prometheus", "none"),
			Sentence: "Where metrics go."},
		{Name: "OTEL_TRACES_SAMPLER", Shown: "parentbased_always_on", Example: "parentbased_traceidratio",
			form:     choice("always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"),
			Sentence: "Which requests are traced."},
		{Name: "OTEL_TRACES_SAMPLER_ARG", Default: "1", Example: "0.1", form: ratio(),
			Sentence: "The share of the traceidratio samplers."},
		{Name: "OTEL_PROPAGATORS", Default: "tracecontext,baggage,xcloudtrace", Example: "tracecontext", form: orNone(words("tracecontext", "baggage", "xcloudtrace"), ""),
			Sentence: "The trace headers that are read and written."},
		{Name: "OTEL_METRIC_EXPORT_INTERVAL", Default: "60000", Example: "10000", form: milliseconds(),
			Sentence: "The time between two exports of metrics, in milliseconds."},
		{Name: "OTEL_METRIC_EXPORT_TIMEOUT", Default: "30000", Example: "5000", form: milliseconds(),
			Sentence: "How long an export of metrics may take, in milliseconds."},
	}
	rows = append(rows, batchVariables()...)
	for _, signal := range []string{"", "TRACES_", "METRICS_"} {
		rows = append(rows, exporterVariables(signal)...)
	}
	for i := range rows {
		rows[i].lenient = true
	}
	rows = append(rows, Variable{Name: "LB_TRACE_PLATFORM_UNSAMPLED", unset: "-1", Example: "1%", form: orNone(share(), "-1"),
		Sentence: "The share of requests that are traced although the platform's own parent is not sampled; only in role ingress on Cloud Run and when OTEL_TRACES_SAMPLER is unset."})
	return inSection(telemetrySection, false, rows)
}

// batchVariables are the limits of the queue of spans, with the specification's names and defaults.
func batchVariables() []Variable {
	return []Variable{
		{Name: "OTEL_BSP_SCHEDULE_DELAY", Default: "5000", Example: "100", form: milliseconds(),
			Sentence: "How long a span may wait for the next export while requests are in flight, in milliseconds; at most 200, because a platform may stop the CPU with the last response."},
		{Name: "OTEL_BSP_EXPORT_TIMEOUT", Default: "30000", Example: "5000", form: milliseconds(),
			Sentence: "How long an export of spans may take, in milliseconds."},
		{Name: "OTEL_BSP_MAX_QUEUE_SIZE", Default: "2048", Example: "4096", form: count(1, math.MaxInt32),
			Sentence: "Spans that may wait for export; more are dropped."},
		{Name: "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", Default: "512", Example: "256", form: count(1, math.MaxInt32),
			Sentence: "Spans in one export."},
	}
}

// exporterVariables are those of the OTLP exporters: for all signals ("") or for one.
func exporterVariables(signal string) []Variable {
	of, name := "any signal", func(what string) string { return "OTEL_EXPORTER_OTLP_" + signal + what }
	shown := func(general string) string { return general }
	if signal != "" {
		of = map[string]string{"TRACES_": "spans", "METRICS_": "metrics"}[signal]
		shown = func(string) string { return "as for any signal" }
	}
	protocol := Variable{Name: name("PROTOCOL"), Shown: shown("http/protobuf"), Default: "http/protobuf", Example: "grpc",
		form: choice("http/protobuf", "grpc"), Sentence: "The protocol to the receiver of " + of + "."}
	target := Variable{Name: name("ENDPOINT"), Example: "http://localhost:4318", form: endpoint(),
		Sentence: "The URL of the receiver of " + of + "; the path of the signal is added."}
	if signal != "" {
		protocol.derive = func(e *environment) string { return e.text("OTEL_EXPORTER_OTLP_PROTOCOL") }
		target.derive = func(e *environment) string { return e.accepted("OTEL_EXPORTER_OTLP_ENDPOINT") }
		target.Shown, target.Sentence = shown(""), "The URL of the receiver of "+of+", used as it is."
		target.Example = "http://localhost:4318/v1/" + strings.ToLower(strings.TrimSuffix(signal, "_"))
	}
	return append([]Variable{target, protocol}, exporterDetails(name, shown, of)...)
}

// exporterDetails are the variables that the exporters read by themselves.
func exporterDetails(name, shown func(string) string, of string) []Variable {
	return []Variable{
		{Name: name("HEADERS"), Shown: shown("unset"), Secret: true, Example: "api-key=0123456789", form: pairs(),
			Sentence: "Fields that are sent to the receiver of " + of + "."},
		{Name: name("TIMEOUT"), Shown: shown("10000"), Example: "5000", form: milliseconds(),
			Sentence: "How long one export of " + of + " may take, in milliseconds."},
		{Name: name("COMPRESSION"), Shown: shown("none"), Example: "gzip", form: choice("gzip", "none"),
			Sentence: "The compression of exports of " + of + "."},
		{Name: name("INSECURE"), Shown: shown("false"), Example: "true", form: toggle(),
			Sentence: "true: no TLS for exports of " + of + " by grpc; the scheme of an endpoint counts before it."},
		{Name: name("CERTIFICATE"), Shown: shown("the system's roots"), Example: "/etc/tls/collector.crt", form: file(),
			Sentence: "Certificates that the receiver of " + of + " is checked against, in PEM."},
		{Name: name("CLIENT_CERTIFICATE"), Shown: shown("unset"), Example: "/etc/tls/client.crt", form: file(),
			Sentence: "Our certificate towards the receiver of " + of + ", in PEM."},
		{Name: name("CLIENT_KEY"), Shown: shown("unset"), Example: "/etc/tls/client.key", form: file(),
			Sentence: "The private key of that certificate, in PEM."},
	}
}

// milliseconds takes a duration as the OpenTelemetry specification writes it.
func milliseconds() form {
	f := count(0, math.MaxInt32)
	f.accepted = "a whole number of milliseconds"
	return f
}

// platformVariables are what platforms tell us, and what the Go runtime reads. Nothing of it is judged.
func platformVariables() []Variable {
	return inSection(platformSection, false, []Variable{
		{Name: "K_SERVICE", form: anything("a name"), Sentence: "Set by Cloud Run: the service."},
		{Name: "K_REVISION", form: anything("a name"), Sentence: "Set by Cloud Run: the revision."},
		{Name: "K_CONFIGURATION", form: anything("a name"), Sentence: "Set by Cloud Run: the configuration."},
		{Name: "KUBERNETES_SERVICE_HOST", form: presence("an address"), Sentence: "Set by Kubernetes: we are in a pod."},
		{Name: "GOOGLE_CLOUD_PROJECT", Example: "my-project", form: anything("a project's id"),
			Sentence: "The project of log lines' traces, where the metadata server cannot say."},
		{Name: "GCE_METADATA_HOST", Example: "127.0.0.1:8081", form: anything("host or host:port"),
			Sentence: "The metadata server's address, where it is not the usual one."},
		{Name: "GOMAXPROCS", Shown: "the container's CPU limit", Example: "2", form: anything("a number"), Sentence: "Read by the Go runtime: threads that run at a time."},
		{Name: "GOMEMLIMIT", Shown: "the container's memory limit less a tenth", derive: defaultMemoryLimit, Example: "200MiB", form: anything("off, or a size in B, KiB, MiB, GiB or TiB; the Go runtime refuses to start with anything else"), Sentence: "Read by the Go runtime: memory above which it collects harder."},
	})
}
