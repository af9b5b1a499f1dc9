package proxy

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery"
)

// Tracing is what the proxy needs of telemetry beyond the OpenTelemetry API: a decision that costs nothing for the
// many requests that are not recorded. Safe for concurrent use.
type Tracing interface {
	// Sampled decides whether a request is recorded. parent is the caller's span, or invalid; id is the trace's.
	Sampled(parent trace.SpanContext, id trace.TraceID) bool
	// Start starts the recorded SERVER span of a request, in the parent's trace or, without one, in the trace id. It
	// copies attrs.
	Start(parent trace.SpanContext, id trace.TraceID, name string, start time.Time, attrs ...attribute.KeyValue) (context.Context, trace.Span)
	// StartClient starts the CLIENT span of an attempt, below the request's.
	StartClient(parent trace.Span, name string, start time.Time, attrs ...attribute.KeyValue) trace.Span
	// RequestStarted and RequestEnded bracket every request, recorded or not.
	RequestStarted()
	RequestEnded()
}

// Tokens hands out ID tokens for backends; package identity has them.
type Tokens interface {
	// Token returns a token for the audience, or "" where identity is off.
	Token(ctx context.Context, audience string) (string, error)
	// Rejected says that a backend answered 401 to a token.
	Rejected(audience string)
}

// Options are the parts that main wires in. The zero value is a proxy without telemetry and identity.
type Options struct {
	Logger  *slog.Logger
	Tracing Tracing       // nil: trace headers pass through unchanged
	Meter   metric.Meter  // nil: no metrics
	Tokens  Tokens        // nil: no identity
	Access  func(*Record) // called once per request when it has ended; nil: no access log
}

// Proxy is an http.Handler that serves requests from a backend service. Safe for concurrent use.
type Proxy struct {
	cfg            *config.Config
	log            *slog.Logger
	tracing        Tracing
	tokens         Tokens
	access         func(*Record)
	metrics        *metrics
	trust          config.Trust
	formats        propagation
	loopTag        string
	preset         bool // the trusted proxy is a platform's, which sets only -For and -Proto
	identityHeader string
	service        *service

	trustHint atomic.Bool  // the first drop of untrusted fields was logged
	active    atomic.Int64 // requests in flight
	draining  atomic.Bool
	tunnels   tunnels
}

// New makes a proxy without backends: requests wait up to five seconds for the first Update, then get 503.
func New(cfg *config.Config, o Options) *Proxy {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Proxy{
		cfg: cfg, log: o.Logger, tracing: o.Tracing, tokens: o.Tokens, access: o.Access,
		trust:          cfg.Process.TrustedProxies,
		formats:        newPropagation(cfg.Telemetry.Propagators),
		loopTag:        loopTag(cfg.Service.Affinity.KeyName),
		preset:         strings.Contains(cfg.Process.TrustedProxies.Setting, "cloudrun"),
		identityHeader: http.CanonicalHeaderKey(cfg.Service.IdentityHeader),
	}
	p.tunnels.init()
	if o.Meter != nil {
		p.metrics = newMetrics(o.Meter, p)
	}
	p.service = newService(cfg, o, p.metrics)
	if cfg.Process.TrustedProxies.Setting == "gclb+cloudrun" {
		p.log.Warn("LB_TRUSTED_PROXIES=gclb+cloudrun is only safe where the service admits nothing but the load balancer: set its ingress to internal-and-cloud-load-balancing")
	}
	if a := cfg.Service.Affinity; a.Cookie && a.Secret == nil {
		p.log.Warn("LB_AFFINITY_SECRET is not set, so affinity cookies guard against accident only: whoever knows the service's name can forge them")
	}
	return p
}

// Update takes what discovery published. See discovery.Set.
func (p *Proxy) Update(backends []discovery.Backend) { p.service.Update(backends) }

// Run probes the backends' health until ctx ends. It returns nil.
func (p *Proxy) Run(ctx context.Context) error { return p.service.probe(ctx) }

// Active is the number of requests in progress, and of open tunnels, which are not among them.
func (p *Proxy) Active() (requests, open int) {
	open = p.tunnels.count()
	return max(0, int(p.active.Load())-open), open
}

// Drain says that the process is about to end: answers over HTTP/2 tell the client to open a new connection.
func (p *Proxy) Drain() { p.draining.Store(true) }

// EndTunnels ends open tunnels, WebSockets with status 1001 at the next border of a frame, and admits no more. It
// returns how many there are.
func (p *Proxy) EndTunnels() int { return p.tunnels.end() }

// tunnelReserve is what tunnels have for their closing handshake before the drain timeout cuts them.
const tunnelReserve = 2 * time.Second

// EndTunnelsLast ends the tunnels when the last request has ended, or when little is left of the time that ctx allows.
func (p *Proxy) EndTunnelsLast(ctx context.Context) {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	deadline, _ := ctx.Deadline()
	for ctx.Err() == nil && time.Until(deadline) > tunnelReserve {
		if requests, _ := p.Active(); requests == 0 {
			break
		}
		select {
		case <-look.C:
		case <-ctx.Done():
		}
	}
	p.EndTunnels()
}

// ServeHTTP makes one exchange. It panics with http.ErrAbortHandler when an answer that has begun can't be finished, so
// that the client sees it cut, and when nobody is left to be answered: a server makes an empty 200 of a handler that says
// nothing, which must not reach a client that was there after all.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := exchanges.Get().(*exchange)
	x.begin(p, w, r)
	defer x.end()
	if !x.refused() {
		x.clean()
		x.serve()
	}
	if !x.started {
		panic(http.ErrAbortHandler)
	}
}
