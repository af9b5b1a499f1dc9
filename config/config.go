// Package config is the whole environment of the process: every name, default, unit and range, and the sentence that
// explains it. Nothing else in the program reads the environment, and this package imports nothing else of ours.
//
// The table of Variables is the one source of truth. Load takes the environment as a list of pairs and goes through it
// in this order: names that nobody knows are refused with the nearest known one; every variable of the table is judged
// by its own form, so that all problems are found at once and each is named by its variable; what is good, and the
// defaults of the rest, is decoded into the Config by its env tags; files named by secrets are read; and at last the
// rules between variables are checked. The same table prints what explain shows and the reference in the README.
//
// There are no goroutines here. A Secret that comes from a file looks at the file again when it is used.
package config

import (
	"log/slog"
	"time"
)

// Config is the environment, read, checked and typed. The zero value is not useful; Load makes one.
// It is never changed after Load returns.
type Config struct {
	Process   Process
	Service   Service
	Telemetry Telemetry
	Platform  Platform

	settings []Setting // what explain prints, secrets masked
}

// Process is what concerns the process as a whole: its listener, its limits towards clients, its end.
type Process struct {
	Listen         string        `env:"LB_LISTEN"` // address for net.Listen, resolved from LB_LISTEN, PORT and LB_ROLE
	Role           Role          `env:"LB_ROLE"`
	TrustedProxies Trust         `env:"LB_TRUSTED_PROXIES"`
	TLSCertFile    string        `env:"LB_TLS_CERT_FILE"` // clients speak TLS to us when both are set
	TLSKeyFile     string        `env:"LB_TLS_KEY_FILE"`
	HeaderTimeout  time.Duration `env:"LB_HEADER_TIMEOUT"`
	StallTimeout   time.Duration `env:"LB_STALL_TIMEOUT"`
	IdleTimeout    time.Duration `env:"LB_IDLE_TIMEOUT"`
	MaxHeaderBytes int64         `env:"LB_MAX_HEADER_BYTES"`
	MaxBodyBytes   int64         `env:"LB_MAX_BODY_BYTES"`  // 0: no limit
	MaxConnections int           `env:"LB_MAX_CONNECTIONS"` // 0: no limit
	DrainDelay     time.Duration `env:"LB_DRAIN_DELAY"`
	DrainTimeout   time.Duration `env:"LB_DRAIN_TIMEOUT"`
	LogLevel       slog.Level    `env:"LB_LOG_LEVEL"`
	LogFormat      string        `env:"LB_LOG_FORMAT"`  // "json", "text"; "" decides by whether the output is a terminal
	AccessLog      string        `env:"LB_ACCESS_LOG"`  // "on", "off", "errors"
	StatusPath     string        `env:"LB_STATUS_PATH"` // begins and ends with a slash; "" turns all own paths off
	StatusToken    *Secret       `env:"LB_STATUS_TOKEN,noinit"`
}

// Service is one backend service: a set of backends with its rules. A second service is a second value.
type Service struct {
	Name     string   // "" for the one service there is today
	Backends []string `env:"LB_BACKENDS"` // items of LB_BACKENDS as written; package discovery parses them. Empty: the lb-backends attributes

	DiscoveryInterval time.Duration `env:"LB_DISCOVERY_INTERVAL"`
	Protocol          Protocol      `env:"LB_PROTOCOL"`
	Policy            Policy        `env:"LB_POLICY"`
	HostHeader        string        `env:"LB_HOST_HEADER"` // "client", "backend", "auto"
	ConnectTimeout    time.Duration `env:"LB_CONNECT_TIMEOUT"`
	ResponseTimeout   time.Duration `env:"LB_RESPONSE_TIMEOUT"`
	RequestTimeout    time.Duration `env:"LB_REQUEST_TIMEOUT"`   // 0: none
	IdleConnTimeout   time.Duration `env:"LB_IDLE_CONN_TIMEOUT"` // 0: 4 s clear text, 90 s TLS and HTTP/2
	MaxInFlight       int           `env:"LB_MAX_IN_FLIGHT"`     // per endpoint; 0: none
	QueueSize         int           `env:"LB_QUEUE_SIZE"`        // 0: twice MaxInFlight
	QueueTimeout      time.Duration `env:"LB_QUEUE_TIMEOUT"`
	CAFile            string        `env:"LB_CA_FILE"`
	ClientCertFile    string        `env:"LB_CLIENT_CERT_FILE"`
	ClientKeyFile     string        `env:"LB_CLIENT_KEY_FILE"`

	Identity          string `env:"LB_IDENTITY"` // "auto", "off", or an audience
	IdentityHeader    string `env:"LB_IDENTITY_HEADER"`
	IdentityTokenFile string `env:"LB_IDENTITY_TOKEN_FILE"`

	Affinity Affinity
	Health   Health
	Eject    Eject
	Retry    Retry

	StartHold time.Duration `env:"LB_START_HOLD"` // -1: the default, 10 s for loopback backends and 0 for others
}

// Affinity is the session affinity of a backend service.
type Affinity struct {
	Cookie     bool          `env:"LB_SESSION_AFFINITY"`       // LB_SESSION_AFFINITY=cookie
	CookieName string        `env:"LB_AFFINITY_COOKIE"`        // never empty when Cookie is set
	TTL        time.Duration `env:"LB_AFFINITY_TTL"`           // 0: a session cookie without end
	Idle       time.Duration `env:"LB_AFFINITY_IDLE"`          // 0: none
	Secret     *Secret       `env:"LB_AFFINITY_SECRET,noinit"` // list of keys, see Keys; nil: the constant key of the service's name
	KeyName    string        // what the constant key is made of: K_SERVICE or OTEL_SERVICE_NAME, and the service's name
	Strict     bool          `env:"LB_AFFINITY_STRICT"`
	SameSite   string        `env:"LB_AFFINITY_SAMESITE"` // "lax", "strict", "none"
}

// Health is active health checking.
type Health struct {
	Check     string        `env:"LB_HEALTH_CHECK"` // "", "/path", "grpc", "grpc:SERVICE", "tcp"
	Interval  time.Duration `env:"LB_HEALTH_CHECK_INTERVAL"`
	Timeout   time.Duration `env:"LB_HEALTH_CHECK_TIMEOUT"`
	Healthy   int           `env:"LB_HEALTH_CHECK_HEALTHY"`
	Unhealthy int           `env:"LB_HEALTH_CHECK_UNHEALTHY"`
	Status    StatusSet     `env:"LB_HEALTH_CHECK_STATUS"`
	Panic     float64       `env:"LB_PANIC_THRESHOLD"` // share of healthy endpoints at or below which all are used; 0: only when none is eligible
	SlowStart time.Duration `env:"LB_SLOW_START"`
}

// Eject is passive outlier ejection.
type Eject struct {
	Errors int           `env:"LB_EJECT_ERRORS"` // consecutive failures; 0: off
	Rate   float64       `env:"LB_EJECT_RATE"`   // success rate, 0 to 1; 0: off
	Time   time.Duration `env:"LB_EJECT_TIME"`
	Max    float64       `env:"LB_EJECT_MAX"` // share of endpoints that may be ejected, 0 to 1
}

// Retry is what may be sent again.
type Retry struct {
	Attempts int       `env:"LB_RETRIES"` // further attempts of requests that may have been sent
	Status   StatusSet `env:"LB_RETRY_STATUS"`
	Budget   float64   `env:"LB_RETRY_BUDGET"` // share of the requests of the last 10 s
	Buffer   int64     `env:"LB_RETRY_BUFFER"` // bytes of body kept for replay
}

// Telemetry is the OTEL_* part that our own code acts on; the variables of OpenTelemetry's exporters and of its metric
// reader are read by them.
type Telemetry struct {
	Disabled          bool      `env:"OTEL_SDK_DISABLED"`
	ServiceName       string    `env:"OTEL_SERVICE_NAME"`                  // OTEL_SERVICE_NAME, "" when unset
	TracesExporter    string    `env:"OTEL_TRACES_EXPORTER"`               // "otlp", "console", "none"; "" decides by whether an OTLP endpoint is set
	MetricsExporter   string    `env:"OTEL_METRICS_EXPORTER"`              // the same, or "prometheus"
	TracesEndpoint    bool      `env:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"` // an OTLP endpoint for traces is set
	MetricsEndpoint   bool      `env:"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"`
	TracesProtocol    string    `env:"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"` // "http/protobuf" (default), "grpc"
	MetricsProtocol   string    `env:"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL"`
	Sampler           string    `env:"OTEL_TRACES_SAMPLER"` // "" is parentbased_always_on
	SamplerArg        float64   `env:"OTEL_TRACES_SAMPLER_ARG"`
	BatchQueue        int       `env:"OTEL_BSP_MAX_QUEUE_SIZE"`
	BatchSize         int       `env:"OTEL_BSP_MAX_EXPORT_BATCH_SIZE"`
	BatchDelay        int       `env:"OTEL_BSP_SCHEDULE_DELAY"`     // milliseconds, as the specification has it
	BatchTimeout      int       `env:"OTEL_BSP_EXPORT_TIMEOUT"`     // milliseconds
	Propagators       []string  `env:"OTEL_PROPAGATORS"`            // "tracecontext", "baggage", "xcloudtrace"
	PlatformUnsampled float64   `env:"LB_TRACE_PLATFORM_UNSAMPLED"` // LB_TRACE_PLATFORM_UNSAMPLED; negative: unset
	Warnings          []Problem // unsupported OTEL_* values: warned about at start, exit 78 of check
}

// Traces reports whether spans are recorded and exported at all.
func (t Telemetry) Traces() bool {
	return !t.Disabled && (t.TracesExporter == "otlp" || t.TracesExporter == "console" || t.TracesExporter == "" && t.TracesEndpoint)
}

// Metrics reports whether metrics are exported at all. (With a status token they can be read as text as well.)
func (t Telemetry) Metrics() bool {
	switch t.MetricsExporter {
	case "otlp", "console", "prometheus":
		return !t.Disabled
	case "":
		return !t.Disabled && t.MetricsEndpoint
	}
	return false
}

// Platform is what the environment says about where we run. Nothing of it is a setting.
type Platform struct {
	Service       string `env:"K_SERVICE"`
	Revision      string `env:"K_REVISION"`
	Configuration string `env:"K_CONFIGURATION"`
	Kubernetes    bool   `env:"KUBERNETES_SERVICE_HOST"` // KUBERNETES_SERVICE_HOST is set
	ProjectID     string `env:"GOOGLE_CLOUD_PROJECT"`    // GOOGLE_CLOUD_PROJECT
	MetadataHost  string `env:"GCE_METADATA_HOST"`       // GCE_METADATA_HOST
	ComputeEngine bool   // the machine itself says that it is one (DMI product name)
	MemoryLimit   int64  // bytes for the garbage collector to keep to; 0: there is no limit, or GOMEMLIMIT has told the runtime
}

// CloudRun reports whether we are a Cloud Run container.
func (p Platform) CloudRun() bool { return p.Service != "" && !p.Kubernetes }

// Role is where we stand: in front of the app, or beside it for its outgoing calls.
type Role string

// The roles of LB_ROLE.
const (
	Ingress Role = "ingress"
	Egress  Role = "egress"
)

// Protocol is what we speak to a backend.
type Protocol string

// The protocols of LB_PROTOCOL. Auto is HTTP/2 for gRPC requests, else HTTP/1.1.
const (
	Auto  Protocol = "auto"
	HTTP1 Protocol = "http1"
	H2    Protocol = "h2"
	H2C   Protocol = "h2c"
)

// Policy is how a new session's endpoint is chosen.
type Policy string

// The policies of LB_POLICY.
const (
	Random     Policy = "random"
	Random2    Policy = "random2"
	RoundRobin Policy = "round_robin"
)
