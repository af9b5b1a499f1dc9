package proxy

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery"
	"github.com/pillion-lb/pillion/proxy/access"
	"github.com/pillion-lb/pillion/proxy/auth"
	"github.com/pillion-lb/pillion/proxy/backend"
	"github.com/pillion-lb/pillion/proxy/cache"
	"github.com/pillion-lb/pillion/proxy/compress"
	"github.com/pillion-lb/pillion/proxy/edge"
	"github.com/pillion-lb/pillion/proxy/history"
	"github.com/pillion-lb/pillion/proxy/socket"
	"github.com/pillion-lb/pillion/proxy/tunnel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// Tracing is what the proxy needs from telemetry beyond the OpenTelemetry API:
// a cheap decision about the many requests that are not recorded. Safe for
// concurrent use.
type Tracing interface {
	// Sampled decides whether a request is recorded. parent is the caller's
	// span, or invalid; id is the trace id.
	Sampled(parent trace.SpanContext, id trace.TraceID) bool
	// Start starts the recorded SERVER span of a request. The span belongs to
	// the parent's trace or, without a parent, to the trace with the given id.
	// Start copies attrs.
	Start(
		parent trace.SpanContext, id trace.TraceID, name string, start time.Time,
		attrs ...attribute.KeyValue,
	) (context.Context, trace.Span)
	// StartClient starts the CLIENT span of an attempt, a child of the
	// request's span.
	StartClient(
		parent trace.Span, name string, start time.Time, attrs ...attribute.KeyValue,
	) trace.Span
	// StartBackground starts the recorded INTERNAL span of work that no request
	// waits for, which begins the trace with the given id.
	StartBackground(
		id trace.TraceID, name string, start time.Time, attrs ...attribute.KeyValue,
	) (context.Context, trace.Span)
	// RequestStarted and RequestEnded are called for every request, recorded or
	// not.
	RequestStarted()
	RequestEnded()
}

// Options are the parts that main provides. The zero value is a proxy without
// telemetry and identity.
type Options struct {
	Logger  *slog.Logger
	Tracing Tracing      // nil passes trace headers through unchanged
	Meter   metric.Meter // nil for no metrics
	// Tokens returns the tokens of a service by its name. nil for no identity.
	Tokens func(service string) backend.Tokens
	// Access is called once for each request that LB_ACCESS_LOG shows, after
	// the request has ended. It may be nil.
	Access func(*Record)
	Budget *socket.Budget // for the memory of requests; nil is no bound
	// Metadata returns a value of the platform's metadata server by its path.
	// nil if there is none.
	Metadata func(ctx context.Context, path string) (string, error)
	// AccessToken returns an access token of the service account, which the
	// store of limits may need. nil if there is none.
	AccessToken func(context.Context) (string, error)

	// dial is for tests. nil for the transports of packages h1 and h2.
	dial func(discovery.Backend) (http1, http2 backend.Transport)
}

// Proxy is an http.Handler that forwards requests to backend services. Safe for
// concurrent use.
type Proxy struct {
	cfg     *config.Config
	log     *slog.Logger
	tracing Tracing
	access  func(*Record)
	metrics *metrics
	formats edge.Propagation
	edge    *edge.Rules
	service *backend.Service // the unnamed service, nil if there is none
	budget  *socket.Budget
	cache   *cache.Cache // nil if no route has one

	encoders *compress.Encoders // nil if no route compresses

	history *history.Recorder // of all requests; nil without a status page
	begun   time.Time

	background background
	limits     *limits
	turnedAway turnedAway
	keys       *auth.Keys // nil if no route needs tokens
	failures   access.Failures

	services []service // in the order of the configuration
	routing  *routing

	trustHint     atomic.Bool  // whether the hint about LB_TRUSTED_PROXIES was logged
	preflightHint atomic.Bool  // whether the hint about preflights was
	insecureHint  atomic.Bool  // whether the hint about Secure cookies over http was
	forgedHint    atomic.Bool  // whether the hint about cookies of another secret was
	debug         bool         // attempts are logged
	active        atomic.Int64 // requests in flight
	draining      atomic.Bool
	tunnels       tunnel.Set
}

// New makes a proxy without backends. Requests wait up to five seconds for the
// first Update, and then get a 503.
func New(cfg *config.Config, o Options) *Proxy {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}

	p := &Proxy{
		cfg: cfg, log: o.Logger, tracing: o.Tracing, access: o.Access,
		formats: edge.NewPropagation(cfg.Telemetry.Propagators),
		edge:    edge.New(cfg),
		budget:  o.Budget,
		begun:   time.Now(),
	}
	if cfg.Process.StatusToken != nil {
		p.history = history.New(true)
	}
	if cfg.Process.AccessLog == config.AccessOff {
		p.access = nil
	}
	p.debug = o.Logger.Enabled(context.Background(), slog.LevelDebug)
	p.background.init(p.backgroundPanicked)
	if cfg.Caches() {
		p.cache = cache.New(cfg.Process.CacheSize, cfg.Process.CacheMaxObject)
	}

	if cfg.Compresses() {
		p.encoders = compress.NewEncoders(cfg.Platform.Encoders)
	}

	p.limits = newLimits(cfg, o)
	if o.Meter != nil {
		p.metrics = newMetrics(o.Meter, p)
	}

	p.addServices(o)
	if cfg.Process.TrustedProxies.Preset == config.CloudLoadBalancerProxy {
		p.log.Warn(
			"LB_TRUSTED_PROXIES=gclb+cloudrun is only safe where the service admits nothing but the load " +
				"balancer: set its ingress to internal-and-cloud-load-balancing",
		)
	}

	if slices.ContainsFunc(cfg.Services, signsByName) {
		p.log.Warn(
			"LB_AFFINITY_SECRET is not set, so affinity cookies guard against accident only: whoever " +
				"knows the service's name can forge them",
		)
	}

	return p
}

// Cache returns the store of answers, or nil if no route has a cache.
func (p *Proxy) Cache() *cache.Cache { return p.cache }

// Active returns the number of requests in progress and the number of open
// tunnels. Tunnels are not counted as requests.
func (p *Proxy) Active() (requests, open int) {
	open = p.tunnels.Count()
	return max(0, int(p.active.Load())-open), open
}

// Drain announces that the process is about to end. From then on, answers over
// HTTP/2 tell the client to open a new connection.
func (p *Proxy) Drain() { p.draining.Store(true) }

// tunnelReserve is the time that tunnels get for their closing handshake before
// the drain timeout cuts them.
const tunnelReserve = 2 * time.Second

// EndTunnelsLast ends all tunnels and admits no more. WebSockets get a close
// frame with status 1001 at the next frame boundary. It waits until the last
// request has ended, or until ctx leaves only tunnelReserve.
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

	p.tunnels.End()
}

// ServeHTTP forwards one request. It panics with http.ErrAbortHandler in two
// cases: when an answer that has begun can't be finished, so that the client
// sees it cut; and when nothing was answered, because net/http would then send
// an empty 200, and the client may still be connected.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := exchanges.Get().(*exchange)
	x.begin(p, w, r)
	defer x.end()
	if !x.refused() {
		x.clean()
		if x.enter() {
			x.serve()
		}
	}

	if !x.started {
		panic(http.ErrAbortHandler)
	}
}
