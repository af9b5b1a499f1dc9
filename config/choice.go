package config

import "strings"

// Settings with only a few values have their own types, so that no other
// package compares them with texts, which could be misspelt.

// HostHeader decides about the Host of requests to backends.
type HostHeader string

// The values of LB_HOST_HEADER.
const (
	HostAuto    HostHeader = "auto"    // the backend's own over TLS, else the client's
	HostClient  HostHeader = "client"  // the client's
	HostBackend HostHeader = "backend" // the backend's own
)

// SameSite is the attribute SameSite of the affinity cookie.
type SameSite string

// The values of LB_AFFINITY_SAMESITE.
const (
	SameSiteLax    SameSite = "lax"
	SameSiteStrict SameSite = "strict"
	SameSiteNone   SameSite = "none"
)

// AccessLog decides which requests are logged.
type AccessLog string

// The values of LB_ACCESS_LOG.
const (
	AccessOn     AccessLog = "on"
	AccessOff    AccessLog = "off"
	AccessErrors AccessLog = "errors" // those that failed, were repeated or ejected a backend
)

// LogFormat is the format of log lines. With the zero value, it depends on
// whether the output is a terminal.
type LogFormat string

// The values of LB_LOG_FORMAT.
const (
	LogJSON LogFormat = "json"
	LogText LogFormat = "text"
)

// Exporter is the destination of spans or metrics. With the zero value, it
// depends on whether a receiver is configured.
type Exporter string

// The values of OTEL_TRACES_EXPORTER and OTEL_METRICS_EXPORTER.
const (
	ExportOTLP       Exporter = "otlp"
	ExportConsole    Exporter = "console"
	ExportPrometheus Exporter = "prometheus" // of metrics only
	ExportNone       Exporter = "none"
)

// ExportProtocol is the protocol to a receiver.
type ExportProtocol string

// The values of OTEL_EXPORTER_OTLP_PROTOCOL.
const (
	ExportHTTP ExportProtocol = "http/protobuf"
	ExportGRPC ExportProtocol = "grpc"
)

// Compression is the compression of exports.
type Compression string

// The values of OTEL_EXPORTER_OTLP_COMPRESSION.
const (
	NoCompression Compression = "none"
	Gzip          Compression = "gzip"
)

// Sampler decides which requests are traced. The zero value is
// ParentBasedAlwaysOn.
type Sampler string

// The values of OTEL_TRACES_SAMPLER.
const (
	AlwaysOn                Sampler = "always_on"
	AlwaysOff               Sampler = "always_off"
	TraceIDRatio            Sampler = "traceidratio"
	ParentBasedAlwaysOn     Sampler = "parentbased_always_on"
	ParentBasedAlwaysOff    Sampler = "parentbased_always_off"
	ParentBasedTraceIDRatio Sampler = "parentbased_traceidratio"
)

// The values of LB_IDENTITY that are not an audience.
const (
	IdentityAuto = "auto"
	IdentityOff  = "off"
)

// HealthCheck is the value of LB_HEALTH_CHECK. The zero value is off.
type HealthCheck string

// CheckKind is a kind of health checks.
type CheckKind uint8

// The kinds of health checks.
const (
	NoCheck   CheckKind = iota
	HTTPCheck           // a GET of Target
	TCPCheck            // a connection
	GRPCCheck           // grpc.health.v1.Health of the service Target
)

// Kind returns the kind of the check.
func (h HealthCheck) Kind() CheckKind {
	word, _, _ := strings.Cut(string(h), ":")
	switch word {
	case "":
		return NoCheck
	case "tcp":
		return TCPCheck
	case "grpc":
		return GRPCCheck
	}

	return HTTPCheck
}

// Target returns the path of an HTTP check, or the service of a gRPC check,
// which is "" for the server as a whole. It is "" for the other kinds.
func (h HealthCheck) Target() string {
	switch h.Kind() {
	case HTTPCheck:
		return string(h)
	case GRPCCheck:
		_, service, _ := strings.Cut(string(h), ":")
		return service
	}

	return ""
}
