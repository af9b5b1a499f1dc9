// Package config is the whole environment of the process: every name, default, unit and range, and the sentence that
// explains it. Nothing else in the program reads the environment, and this package imports nothing else of ours.
package config

import (
	"log/slog"
	"net/netip"
	"time"
)

// Config is the environment, read, checked and typed. The zero value is not useful; Load makes one.
// It is never changed after Load returns.
type Config struct {
	Process   Process
	Service   Service
	Telemetry Telemetry
	Platform  Platform
}

// Process is what concerns the process as a whole: its listener, its limits towards clients, its end.
type Process struct {
	Listen         string // address for net.Listen, resolved from LB_LISTEN, PORT and LB_ROLE
	Role           Role
	TrustedProxies Trust
	TLSCertFile    string // clients speak TLS to us when both are set
	TLSKeyFile     string
	HeaderTimeout  time.Duration
	StallTimeout   time.Duration
	IdleTimeout    time.Duration
	MaxHeaderBytes int64
	MaxBodyBytes   int64 // 0: no limit
	MaxConnections int   // 0: no limit
	DrainDelay     time.Duration
	DrainTimeout   time.Duration
	LogLevel       slog.Level
	LogFormat      string // "json", "text"; "" decides by whether the output is a terminal
	AccessLog      string // "on", "off", "errors"
	StatusPath     string // begins and ends with a slash; "" turns all own paths off
	StatusToken    *Secret
}

// Service is one backend service: a set of backends with its rules. A second service is a second value.
type Service struct {
	Name     string   // "" for the one service there is today
	Backends []string // items of LB_BACKENDS as written; package discovery parses them. Empty: the lb-backends attributes

	DiscoveryInterval time.Duration
	Protocol          Protocol
	Policy            Policy
	HostHeader        string // "client", "backend", "auto"
	ConnectTimeout    time.Duration
	ResponseTimeout   time.Duration
	RequestTimeout    time.Duration // 0: none
	IdleConnTimeout   time.Duration // 0: 4 s clear text, 90 s TLS and HTTP/2
	MaxInFlight       int           // per endpoint; 0: none
	QueueSize         int           // 0: twice MaxInFlight
	QueueTimeout      time.Duration
	CAFile            string
	ClientCertFile    string
	ClientKeyFile     string

	Identity          string // "auto", "off", or an audience
	IdentityHeader    string
	IdentityTokenFile string

	Affinity Affinity
	Health   Health
	Eject    Eject
	Retry    Retry

	StartHold time.Duration // -1: the default, 10 s for loopback backends and 0 for others
}

// Affinity is the session affinity of a backend service.
type Affinity struct {
	Cookie     bool          // LB_SESSION_AFFINITY=cookie
	CookieName string        // never empty when Cookie is set
	TTL        time.Duration // 0: a session cookie without end
	Idle       time.Duration // 0: none
	Secret     *Secret       // list of keys, see Keys; nil: the constant key of the service's name
	KeyName    string        // what the constant key is made of: K_SERVICE or OTEL_SERVICE_NAME, and the service's name
	Strict     bool
	SameSite   string // "lax", "strict", "none"
}

// Health is active health checking.
type Health struct {
	Check     string // "", "/path", "grpc", "grpc:SERVICE", "tcp"
	Interval  time.Duration
	Timeout   time.Duration
	Healthy   int
	Unhealthy int
	Status    StatusSet
	Panic     float64 // share of healthy endpoints at or below which all are used; 0: only when none is eligible
	SlowStart time.Duration
}

// Eject is passive outlier ejection.
type Eject struct {
	Errors int     // consecutive failures; 0: off
	Rate   float64 // success rate, 0 to 1; 0: off
	Time   time.Duration
	Max    float64 // share of endpoints that may be ejected, 0 to 1
}

// Retry is what may be sent again.
type Retry struct {
	Attempts int // further attempts of requests that may have been sent
	Status   StatusSet
	Budget   float64 // share of the requests of the last 10 s
	Buffer   int64   // bytes of body kept for replay
}

// Telemetry is the OTEL_* part that our own code acts on; the SDK's and the exporters' own variables are read by them.
type Telemetry struct {
	Disabled          bool
	ServiceName       string // OTEL_SERVICE_NAME, "" when unset
	TracesExporter    string // "otlp", "console", "none"; "" decides by whether an OTLP endpoint is set
	MetricsExporter   string // the same, or "prometheus"
	TracesEndpoint    bool   // an OTLP endpoint for traces is set
	MetricsEndpoint   bool
	TracesProtocol    string // "http/protobuf" (default), "grpc"
	MetricsProtocol   string
	Sampler           string // "" is parentbased_always_on
	SamplerArg        float64
	Propagators       []string  // "tracecontext", "baggage", "xcloudtrace"
	PlatformUnsampled float64   // LB_TRACE_PLATFORM_UNSAMPLED; negative: unset
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
	Service, Revision, Configuration string // K_SERVICE, K_REVISION, K_CONFIGURATION
	Kubernetes                       bool   // KUBERNETES_SERVICE_HOST is set
	ProjectID                        string // GOOGLE_CLOUD_PROJECT
	MetadataHost                     string // GCE_METADATA_HOST
	ComputeEngine                    bool   // the machine itself says that it is one (DMI product name)
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

// Trust says from whom forwarding fields are believed.
type Trust struct {
	Setting  string         // as the user would write it: "none", "cloudrun", "gclb+cloudrun", "2", "10.0.0.0/8"
	Hops     int            // that many entries from the right of X-Forwarded-For are ours; 0: not by count
	Prefixes []netip.Prefix // or peers in these networks
}

// StatusSet is a set of HTTP status codes, written as codes and ranges ("200-399", "502;503"). The zero value is empty.
type StatusSet struct{ bits [8]uint64 }

// Has reports whether the set holds code (100 to 599).
func (s StatusSet) Has(code int) bool {
	i := code - 100
	return i >= 0 && i < 512 && s.bits[i>>6]&(1<<(i&63)) != 0
}

// Add puts code (100 to 599) into the set; others are dropped.
func (s *StatusSet) Add(code int) {
	if i := code - 100; i >= 0 && i < 500 {
		s.bits[i>>6] |= 1 << (i & 63)
	}
}

// Empty reports whether the set holds no code.
func (s StatusSet) Empty() bool { return s == StatusSet{} }
