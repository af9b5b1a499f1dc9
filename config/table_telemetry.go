package config

import (
	"cmp"
	"math"
	"strings"
)

// telemetryVariables returns the rows of OpenTelemetry's variables that have an
// effect. An unsupported value does not prevent the start, because platforms
// set values that are for programs in other languages.
func telemetryVariables() []Variable {
	rows := []Variable{
		{Name: "OTEL_SDK_DISABLED", Default: "false", Example: "true", form: toggle(),
			Sentence: "true turns spans and metrics off."},
		{Name: "OTEL_SERVICE_NAME", Shown: "K_SERVICE, else pillion", Example: "shop-lb",
			form:     anything("a name"),
			Sentence: "The service.name of spans and metrics."},
		{Name: "OTEL_RESOURCE_ATTRIBUTES", Example: "deployment.environment.name=prod",
			form:     pairs(),
			Sentence: "Further attributes of the resource."},
		{Name: "OTEL_TRACES_EXPORTER", Shown: "otlp when an OTLP endpoint is set, else none",
			Example: "console", form: choice("otlp", "console", "none"),
			Sentence: "Where spans go."},
		{Name: "OTEL_METRICS_EXPORTER", Shown: "otlp when an OTLP endpoint is set, else none",
			Example: "prometheus", form: choice("otlp", "console", "prometheus", "none"),
			Sentence: "Where metrics go."},
		{Name: "OTEL_TRACES_SAMPLER", Shown: "parentbased_always_on",
			Example: "parentbased_traceidratio",
			form: choice("always_on", "always_off", "traceidratio", "parentbased_always_on",
				"parentbased_always_off", "parentbased_traceidratio"),
			Sentence: "Which requests are traced."},
		{Name: "OTEL_TRACES_SAMPLER_ARG", Default: "1", Example: "0.1", form: ratio(),
			Sentence: "The share of the traceidratio samplers."},
		{Name: "OTEL_PROPAGATORS", Default: "tracecontext,baggage,xcloudtrace",
			Example: "tracecontext", form: orNone(words("tracecontext", "baggage", "xcloudtrace"),
				""),
			Sentence: "The trace headers that are read and written."},
		{Name: "OTEL_METRIC_EXPORT_INTERVAL", Default: "60000", Example: "10000",
			form:     milliseconds(),
			Sentence: "The time between two exports of metrics, in milliseconds."},
		{Name: "OTEL_METRIC_EXPORT_TIMEOUT", Default: "30000", Example: "5000",
			form:     milliseconds(),
			Sentence: "How long an export of metrics may take, in milliseconds."},
	}

	rows = append(rows, batchVariables()...)
	for _, signal := range []string{"", "TRACES_", "METRICS_"} {
		rows = append(rows, exporterVariables(signal)...)
	}

	for i := range rows {
		rows[i].lenient = true
	}

	rows = append(rows, Variable{Name: "LB_TRACE_PLATFORM_UNSAMPLED", unset: "-1", Example: "1%",
		form: orNone(share(), "-1"),
		Sentence: "The share of requests that are traced although the platform's own parent is " +
			"not sampled; only in role ingress on Cloud Run and when OTEL_TRACES_SAMPLER is " +
			"unset."})
	return inSection(telemetrySection, false, rows)
}

// batchVariables returns the rows of the queue of spans, with the
// specification's names and defaults.
func batchVariables() []Variable {
	return []Variable{
		{Name: "OTEL_BSP_SCHEDULE_DELAY", Default: "5000", Example: "100", form: milliseconds(),
			Sentence: "How long a span may wait for the next export while requests are in flight, " +
				"in milliseconds; at most 200, because a platform may stop the CPU with the last " +
				"response."},
		{Name: "OTEL_BSP_EXPORT_TIMEOUT", Default: "30000", Example: "5000", form: milliseconds(),
			Sentence: "How long an export of spans may take, in milliseconds."},
		{Name: "OTEL_BSP_MAX_QUEUE_SIZE", Default: "2048", Example: "4096",
			form:     count(1, math.MaxInt32),
			Sentence: "Spans that may wait for export; more are dropped."},
		{Name: "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", Default: "512", Example: "256",
			form:     count(1, math.MaxInt32),
			Sentence: "Spans in one export."},
	}
}

// exporterVariables returns the rows of the OTLP exporters: for all signals
// (""), or for one, which inherits from those.
func exporterVariables(signal string) []Variable {
	of := map[string]string{"": "any signal", "TRACES_": "spans", "METRICS_": "metrics"}[signal]
	row := func(what, unset, shown, example, sentence string, f form) Variable {
		v := Variable{Name: otlp + signal + what, Default: unset, Shown: shown, Example: example,
			form: f, Sentence: sentence}
		if signal != "" {
			v.Shown = "as for any signal"
			v.derive = func(e *environment) string { return cmp.Or(e.accepted(otlp+what), unset) }
		}

		return v
	}

	target := row("ENDPOINT", "", "", "http://localhost:4318",
		"The URL of the receiver of "+of+"; the path of the signal is added.", endpoint())
	if signal != "" {
		target.derive = func(e *environment) string { return signalEndpoint(e, signal) }
		target.Sentence = "The URL of the receiver of " + of + ", used as it is."
		target.Example += "/v1/" + strings.ToLower(strings.TrimSuffix(signal, "_"))
	}

	headers := row("HEADERS", "", "unset", "api-key=0123456789",
		"Fields that are sent to the receiver of "+of+".", pairs())
	headers.Secret = true

	return []Variable{
		target,
		row("PROTOCOL", "http/protobuf", "http/protobuf", "grpc",
			"The protocol to the receiver of "+of+".", choice("http/protobuf", "grpc")),
		headers,
		row("TIMEOUT", "10000", "10000", "5000",
			"How long one export of "+of+" may take, in milliseconds.", milliseconds()),
		row("COMPRESSION", "none", "none", "gzip", "The compression of exports of "+of+".",
			choice("gzip", "none")),
		row("INSECURE", "false", "false", "true",
			"true: no TLS for exports of "+of+" by grpc to an endpoint without a scheme. A scheme "+
				"decides by itself.", toggle()),
		row("CERTIFICATE", "", "the system's roots", "/etc/tls/collector.crt",
			"Certificates that the receiver of "+of+" is checked against, in PEM.", certificates()),
		row("CLIENT_CERTIFICATE", "", "unset", "/etc/tls/client.crt",
			"The certificate that is shown to the receiver of "+of+", in PEM.", file()),
		row("CLIENT_KEY", "", "unset", "/etc/tls/client.key",
			"The private key of that certificate, in PEM.", file()),
	}
}

// milliseconds is the form of a duration in the OpenTelemetry specification.
func milliseconds() form {
	f := count(0, math.MaxInt32)
	f.accepted = "a whole number of milliseconds"
	return f
}

// platformVariables returns the rows of variables that platforms set, and that
// the Go runtime reads. Their values are not checked.
func platformVariables() []Variable {
	return inSection(platformSection, false, []Variable{
		{Name: "K_SERVICE", form: anything("a name"), Sentence: "Set by Cloud Run: the service."},
		{Name: "K_REVISION", form: anything("a name"), Sentence: "Set by Cloud Run: the revision."},
		{Name: "K_CONFIGURATION",
			form: anything("a name"), Sentence: "Set by Cloud Run: the configuration."},
		{Name: "KUBERNETES_SERVICE_HOST",
			form: presence("an address"), Sentence: "Set by Kubernetes: the process is in a pod."},
		{Name: "KUBERNETES_SERVICE_PORT", Shown: "443", form: anything("a port"),
			Sentence: "Set by Kubernetes: the port of the API server."},
		{Name: "GOOGLE_CLOUD_PROJECT", Example: "my-project", form: anything("a project's id"),
			Sentence: "The project of log lines' traces, where the metadata server cannot say."},
		{Name: "GCE_METADATA_HOST", Example: "127.0.0.1:8081", form: authority(),
			Sentence: "The metadata server's address, where it is not the usual one."},
		{Name: "NO_COLOR", Example: "1", form: anything("anything"),
			Sentence: "A terminal gets no colours; TERM=dumb says the same."},
		{Name: "GRPC_XDS_BOOTSTRAP", Example: "/etc/xds/bootstrap.json", form: anything("a path"),
			Sentence: "gRPC's bootstrap file, which says where the control plane of xds:// " +
				"targets is that name no server. Read only where there is such a target."},
		{Name: "GRPC_XDS_BOOTSTRAP_CONFIG", form: anything("JSON"),
			Sentence: "The content of that file, where there is none."},
		{Name: "GOMAXPROCS", Shown: "the container's CPU limit", Example: "2",
			form: anything("a number"), Sentence: "Read by the Go runtime: threads that run at a " +
				"time."},
		{Name: "GOMEMLIMIT", Shown: "the container's memory limit less a tenth",
			derive: defaultMemoryLimit, Example: "200MiB",
			form: anything("off, or a size in B, KiB, MiB, GiB or TiB; the Go runtime refuses to start " +
				"with anything else"),
			Sentence: "Read by the Go runtime: memory above which it collects harder."},
	})
}
