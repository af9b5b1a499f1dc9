// Package config is the whole environment of the process: every name, default,
// unit and range, and the sentence that explains it. No other package reads the
// environment, and this package imports no other package of this module.
//
// The table of Variables is the only source. Load takes the environment as a
// list of pairs, in these steps. Unknown names are refused, with the nearest
// known one. Every variable is checked by its own form, so all problems are
// found at once and each is named by its variable. Good values, and the
// defaults of the rest, are decoded into the Config by its env tags. The files
// of secrets are read. Finally the rules between variables are checked. The
// output of explain and the reference in config/README.md come from the same
// table.
//
// Only FollowFiles works after Load: it reads the files of settings again when
// they change.
package config

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"time"
)

// Config is the environment, read, checked and typed. Make one with Load. It is
// read-only after that.
type Config struct {
	Process   Process
	Service   Service // the unnamed service, which may have no backends if there are names
	Route     Route   // the unnamed route
	Telemetry Telemetry
	Platform  Platform

	Services []Service // all services: the unnamed one if it has backends, then the others by name
	// all routes: the unnamed one if it does anything, then the others by name
	Routes []Route

	settings []Setting  // what explain prints, secrets masked
	scoped   []scope    // the same for each name
	noEffect []Problem  // see NoEffect
	files    []follower // see FollowFiles
}

// Process holds the settings of the process as a whole: its listener, its
// limits for clients, its end.
type Process struct {
	// address for net.Listen, resolved from LB_LISTEN, PORT and LB_ROLE
	Listen         string        `env:"LB_LISTEN"`
	Role           Role          `env:"LB_ROLE"`
	TrustedProxies Trust         `env:"LB_TRUSTED_PROXIES"`
	TLSCertFile    string        `env:"LB_TLS_CERT_FILE"`
	TLSKeyFile     string        `env:"LB_TLS_KEY_FILE"`
	TLSClientCA    string        `env:"LB_TLS_CLIENT_CA_FILE"`
	HeaderTimeout  time.Duration `env:"LB_HEADER_TIMEOUT"`
	StallTimeout   time.Duration `env:"LB_STALL_TIMEOUT"`
	IdleTimeout    time.Duration `env:"LB_IDLE_TIMEOUT"`
	MaxHeaderBytes int64         `env:"LB_MAX_HEADER_BYTES"`
	MaxConnections int           `env:"LB_MAX_CONNECTIONS"` // 0: no limit
	DrainDelay     time.Duration `env:"LB_DRAIN_DELAY"`
	DrainTimeout   time.Duration `env:"LB_DRAIN_TIMEOUT"`
	LogLevel       slog.Level    `env:"LB_LOG_LEVEL"`
	LogFormat      LogFormat     `env:"LB_LOG_FORMAT"`
	AccessLog      AccessLog     `env:"LB_ACCESS_LOG"`
	// begins and ends with a slash; "" turns all own paths off
	StatusPath     string  `env:"LB_STATUS_PATH"`
	CacheSize      int64   `env:"LB_CACHE_SIZE"`       // bytes of all stored answers
	CacheMaxObject int64   `env:"LB_CACHE_MAX_OBJECT"` // bytes of one stored body
	StatusToken    *Secret `env:"LB_STATUS_TOKEN,noinit"`
	HTTPSRedirect  bool    `env:"LB_HTTPS_REDIRECT"`

	// of one client's address; 0: no bound
	ClientInFlight   int           `env:"LB_CLIENT_IN_FLIGHT"`
	RateLimitStore   *Secret       `env:"LB_RATE_LIMIT_STORE,noinit"` // a StoreURL; nil: none
	RateLimitTimeout time.Duration `env:"LB_RATE_LIMIT_TIMEOUT"`
	GoogleAPI        string        `env:"LB_GOOGLE_API"` // {api} stands for an API's name
	// directory with the token, the certificates and the namespace of the pod's
	// service account
	KubernetesAccount string `env:"LB_KUBERNETES_ACCOUNT"`
	// "request", "cookie", "cookie.NAME", "header.NAME"
	ShareBy string `env:"LB_SHARE_BY"`

	ShareCookie     string        // name of the cookie with a browser's number
	ShareCookieLife time.Duration // 0: as long as the browser runs

	// of both TLS files; nil: clients speak in clear text
	Certificate *Followed[tls.Certificate] `env:",noinit"`
	// of LB_TLS_CLIENT_CA_FILE; nil: clients need no certificate
	ClientRoots *Followed[x509.CertPool] `env:",noinit"`
}

// Service is one backend service: a set of backends with its rules. A second
// service is a second value.
type Service struct {
	Name string // in small letters; "" for the unnamed one
	// items of LB_BACKENDS as written; package discovery parses them. Empty:
	// the lb-backends attributes
	Backends []string `env:"LB_BACKENDS"`

	DiscoveryInterval time.Duration `env:"LB_DISCOVERY_INTERVAL"`
	Protocol          Protocol      `env:"LB_PROTOCOL"`
	Policy            Policy        `env:"LB_POLICY"`
	HostHeader        HostHeader    `env:"LB_HOST_HEADER"`
	ConnectTimeout    time.Duration `env:"LB_CONNECT_TIMEOUT"`
	// 0: 4 s clear text, 90 s TLS and HTTP/2
	IdleConnTimeout time.Duration `env:"LB_IDLE_CONN_TIMEOUT"`
	MaxInFlight     int           `env:"LB_MAX_IN_FLIGHT"` // per endpoint; 0: none
	QueueSize       int           `env:"LB_QUEUE_SIZE"`    // 0: twice MaxInFlight
	QueueTimeout    time.Duration `env:"LB_QUEUE_TIMEOUT"`
	CAFile          string        `env:"LB_CA_FILE"`
	ClientCertFile  string        `env:"LB_CLIENT_CERT_FILE"`
	ClientKeyFile   string        `env:"LB_CLIENT_KEY_FILE"`

	Identity          string `env:"LB_IDENTITY"` // "auto", "off", or an audience
	IdentityHeader    string `env:"LB_IDENTITY_HEADER"`
	IdentityTokenFile string `env:"LB_IDENTITY_TOKEN_FILE"`

	Roots             *Followed[x509.CertPool]   `env:",noinit"` // of CAFile; nil: the system's
	ClientCertificate *Followed[tls.Certificate] `env:",noinit"` // of both client files; nil: none
	// of IdentityTokenFile; nil: the metadata server's
	IdentityToken *Followed[string] `env:",noinit"`

	Affinity Affinity
	Health   Health
	Eject    Eject

	// retries as a share of the requests of the last 10 s
	RetryBudget float64 `env:"LB_RETRY_BUDGET"`

	// -1: the default, 10 s for loopback backends and 0 for others
	StartHold time.Duration `env:"LB_START_HOLD"`
}

// Affinity is the session affinity of a backend service.
type Affinity struct {
	Cookie     bool          `env:"LB_SESSION_AFFINITY"` // LB_SESSION_AFFINITY=cookie
	CookieName string        `env:"LB_AFFINITY_COOKIE"`  // never empty when Cookie is set
	TTL        time.Duration `env:"LB_AFFINITY_TTL"`     // 0: a session cookie without end
	Idle       time.Duration `env:"LB_AFFINITY_IDLE"`    // 0: none
	// list of keys, see Keys; nil: the constant key of the service's name
	Secret *Secret `env:"LB_AFFINITY_SECRET,noinit"`
	// the source of the constant key: K_SERVICE or OTEL_SERVICE_NAME, and the
	// service's name
	KeyName string
	Strict  bool `env:"LB_AFFINITY_STRICT"`
	// the cookies by which a backend keeps sessions on one of its instances
	BackendCookies BackendCookies `env:"LB_BACKEND_COOKIES"`
	SameSite       SameSite       `env:"LB_AFFINITY_SAMESITE"`
}

// Health is active health checking.
type Health struct {
	Check     HealthCheck   `env:"LB_HEALTH_CHECK"`
	Interval  time.Duration `env:"LB_HEALTH_CHECK_INTERVAL"`
	Timeout   time.Duration `env:"LB_HEALTH_CHECK_TIMEOUT"`
	Healthy   int           `env:"LB_HEALTH_CHECK_HEALTHY"`
	Unhealthy int           `env:"LB_HEALTH_CHECK_UNHEALTHY"`
	Status    StatusSet     `env:"LB_HEALTH_CHECK_STATUS"`
	// share of healthy endpoints at or below which all are used; 0: only when
	// none is eligible
	Panic     float64       `env:"LB_PANIC_THRESHOLD"`
	SlowStart time.Duration `env:"LB_SLOW_START"`
}

// Eject is passive outlier ejection.
type Eject struct {
	Errors int     `env:"LB_EJECT_ERRORS"` // consecutive failures; 0: off
	Rate   float64 `env:"LB_EJECT_RATE"`   // success rate, 0 to 1; 0: off
	// the statuses that are failures like a broken answer
	Status StatusSet     `env:"LB_EJECT_STATUS"`
	Time   time.Duration `env:"LB_EJECT_TIME"`
	// share of endpoints that may be ejected by status, 0 to 1
	Max float64 `env:"LB_EJECT_MAX"`
}

// Telemetry holds the OTEL_* settings. OpenTelemetry's packages get these
// values and read none of the variables themselves.
type Telemetry struct {
	Disabled    bool   `env:"OTEL_SDK_DISABLED"`
	ServiceName string `env:"OTEL_SERVICE_NAME"` // "" when unset
	Attributes  Pairs  `env:"OTEL_RESOURCE_ATTRIBUTES"`
	// "otlp", "console", "none"; "" decides by whether an OTLP endpoint is set
	TracesExporter  Exporter `env:"OTEL_TRACES_EXPORTER"`
	MetricsExporter Exporter `env:"OTEL_METRICS_EXPORTER"` // the same, or "prometheus"
	TracesReceiver  Receiver `env:",prefix=OTEL_EXPORTER_OTLP_TRACES_"`
	MetricsReceiver Receiver `env:",prefix=OTEL_EXPORTER_OTLP_METRICS_"`
	Sampler         Sampler  `env:"OTEL_TRACES_SAMPLER"` // "" is parentbased_always_on
	SamplerArg      float64  `env:"OTEL_TRACES_SAMPLER_ARG"`
	BatchQueue      int      `env:"OTEL_BSP_MAX_QUEUE_SIZE"`
	BatchSize       int      `env:"OTEL_BSP_MAX_EXPORT_BATCH_SIZE"`
	// milliseconds, as in the specification
	BatchDelay     int `env:"OTEL_BSP_SCHEDULE_DELAY"`
	BatchTimeout   int `env:"OTEL_BSP_EXPORT_TIMEOUT"`     // milliseconds
	MetricInterval int `env:"OTEL_METRIC_EXPORT_INTERVAL"` // milliseconds
	MetricTimeout  int `env:"OTEL_METRIC_EXPORT_TIMEOUT"`  // milliseconds
	// "tracecontext", "baggage", "xcloudtrace"
	Propagators       []string `env:"OTEL_PROPAGATORS"`
	PlatformUnsampled float64  `env:"LB_TRACE_PLATFORM_UNSAMPLED"` // negative: unset

	Warnings []Problem // unsupported OTEL_* values: warned about at start, exit 78 of check
}

// Traces reports whether spans are recorded and exported.
func (t Telemetry) Traces() bool {
	return !t.Disabled && (t.TracesExporter == ExportOTLP || t.TracesExporter == ExportConsole ||
		t.TracesExporter == "" && t.TracesReceiver.Endpoint != "")
}

// Metrics reports whether metrics are exported. With a status token, they can
// also be read as text.
func (t Telemetry) Metrics() bool {
	switch t.MetricsExporter {
	case ExportOTLP, ExportConsole, ExportPrometheus:
		return !t.Disabled
	case "":
		return !t.Disabled && t.MetricsReceiver.Endpoint != ""
	}

	return false
}

// Platform describes where the process runs. None of its values is a setting.
type Platform struct {
	Service       string `env:"K_SERVICE"`
	Revision      string `env:"K_REVISION"`
	Configuration string `env:"K_CONFIGURATION"`
	Kubernetes    bool   `env:"KUBERNETES_SERVICE_HOST"` // KUBERNETES_SERVICE_HOST is set
	ProjectID     string `env:"GOOGLE_CLOUD_PROJECT"`    // GOOGLE_CLOUD_PROJECT
	MetadataHost  string `env:"GCE_METADATA_HOST"`       // GCE_METADATA_HOST
	KubernetesAPI string // host:port of the API server; "" outside of a pod
	PlainText     bool   // NO_COLOR or TERM=dumb: a terminal gets no colours
	// gRPC's bootstrap file of xDS, and the same as text
	XDSBootstrap       string `env:"GRPC_XDS_BOOTSTRAP"`
	XDSBootstrapConfig string `env:"GRPC_XDS_BOOTSTRAP_CONFIG"`
	ComputeEngine      bool   // by the machine's DMI product name
	// memory limit for the garbage collector, in bytes; 0 if there is none, or
	// if the runtime has it from GOMEMLIMIT
	MemoryLimit int64
	// the most memory for clients and backends, in bytes; 0 is no bound,
	// without a memory limit
	MemoryBudget int64
	// what the cache, the encoders and the gates may take. The budget is
	// without it.
	MemoryReserved int64
	Descriptors    int // files and connections that may be open; 0: no limit
	Encoders       int // answers that may be compressed at once
	LimitPlaces    int // keys that the table of a rate limit has room for; a power of two
}

// CloudRun reports whether this is a container of Cloud Run.
func (p Platform) CloudRun() bool { return p.Service != "" && !p.Kubernetes }

// Role is the position of the process: in front of the app, or beside it for
// its outgoing calls.
type Role string

// The roles of LB_ROLE.
const (
	Ingress Role = "ingress"
	Egress  Role = "egress"
)

// Protocol is the protocol to a backend.
type Protocol string

// The protocols of LB_PROTOCOL. Auto is HTTP/2 for gRPC requests, else
// HTTP/1.1.
const (
	Auto  Protocol = "auto"
	HTTP1 Protocol = "http1"
	H2    Protocol = "h2"
	H2C   Protocol = "h2c"
)

// Policy decides how the endpoint of a new session is chosen.
type Policy string

// The policies of LB_POLICY.
const (
	Random        Policy = "random"
	Random2       Policy = "random2"
	RoundRobin    Policy = "round_robin"
	LeastRequests Policy = "least_requests"
)

// Policies returns all policies, the default first.
func Policies() []Policy { return []Policy{Random, Random2, RoundRobin, LeastRequests} }
