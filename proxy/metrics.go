package proxy

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/proxy/affinity"
	"github.com/pillion-lb/pillion/proxy/backend"
	"github.com/pillion-lb/pillion/proxy/socket"
	"github.com/pillion-lb/pillion/proxy/wire"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// metrics are the instruments of the proxy. They are nil if nothing reads them.
//
// The number of series is bounded by the number of backends: no attribute is a
// path or a client. An attribute set is built once and then found without an
// allocation. Plain counters are atomics, which are read when the metrics are
// collected.
type metrics struct {
	server metric.Float64Histogram
	client metric.Float64Histogram
	queued metric.Float64Histogram

	servers  series[serverKey]
	clients  series[clientKey]
	attempts series[attemptKey]
	counters series[counterKey]
}

// durations are the bucket bounds that OpenTelemetry's HTTP conventions
// recommend, in seconds.
var durations = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

func newMetrics(m metric.Meter, p *Proxy) *metrics {
	n := &metrics{}
	buckets := metric.WithExplicitBucketBoundaries(durations...)
	n.server, _ = m.Float64Histogram("http.server.request.duration", metric.WithUnit("s"), buckets,
		metric.WithDescription("Duration of requests, from head to last byte."))
	n.client, _ = m.Float64Histogram("http.client.request.duration", metric.WithUnit("s"), buckets,
		metric.WithDescription("Duration of attempts, from choice to last byte."))
	n.queued, _ = m.Float64Histogram("lb.queue.wait", metric.WithUnit("s"), buckets,
		metric.WithDescription("Time that requests waited for a place in flight."))
	n.observe(m, p)
	observeBudget(m, p.budget)
	observeLimits(m, p.limits)
	if p.cache != nil {
		observeCache(m, p)
	}
	if p.encoders != nil {
		observeCompression(m, p.encoders)
	}

	return n
}

// observeBudget registers how much of the memory budget is taken, and what load
// was shed.
func observeBudget(m metric.Meter, budget *socket.Budget) {
	taken, _ := m.Int64ObservableUpDownCounter("lb.memory.taken", metric.WithUnit("By"),
		metric.WithDescription("Memory that clients and backends make the process hold."))
	limit, _ := m.Int64ObservableUpDownCounter("lb.memory.budget", metric.WithUnit("By"),
		metric.WithDescription("Memory that they may make it hold; 0 is no bound."))
	shed, _ := m.Int64ObservableCounter("lb.shed",
		metric.WithDescription("Connections and requests that were ended or refused to shed load."))

	m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(taken, budget.Used())
		o.ObserveInt64(limit, budget.Limit())
		for way, n := range budget.Shed().All {
			o.ObserveInt64(
				shed, n, metric.WithAttributes(attribute.String("lb.shed.way", way.String())),
			)
		}

		return nil
	}, taken, limit, shed)
}

// observe registers the values that are read when the metrics are collected.
func (n *metrics) observe(m metric.Meter, p *Proxy) {
	n.observeCounters(m, p)
	observeState(m, p)
}

// observeCounters registers the counters that are kept as atomics.
func (n *metrics) observeCounters(m metric.Meter, p *Proxy) {
	attempts, _ := m.Int64ObservableCounter(
		"lb.attempts", metric.WithDescription("Attempts by backend, reason and outcome."),
	)
	counters := make(map[string]metric.Int64Observable)
	counted := []metric.Observable{attempts}
	for name, text := range counterTexts {
		c, _ := m.Int64ObservableCounter(name, metric.WithDescription(text))
		counters[name], counted = c, append(counted, c)
	}

	m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		n.beginEjections(p.Backends())
		n.beginPanics()
		n.attempts.each(
			func(_ attemptKey, s *attributeSet) { o.ObserveInt64(attempts, s.count.Load(), s.observe...) },
		)
		n.counters.each(
			func(k counterKey, s *attributeSet) {
				o.ObserveInt64(counters[k.counter], s.count.Load(), s.observe...)
			},
		)
		return nil
	}, counted...)
}

// observeState registers the numbers of requests, connections and endpoints.
func observeState(m metric.Meter, p *Proxy) {
	active, _ := m.Int64ObservableUpDownCounter(
		"http.server.active_requests", metric.WithDescription("Requests in progress."),
	)
	tunnels, _ := m.Int64ObservableUpDownCounter(
		"lb.tunnels", metric.WithDescription("Open tunnels."),
	)
	inFlight, _ := m.Int64ObservableUpDownCounter(
		"lb.endpoint.in_flight", metric.WithDescription("Requests in flight by backend."),
	)
	state, _ := m.Int64ObservableGauge(
		"lb.endpoint.state", metric.WithDescription("1 for the state that a backend is in: "+
			"eligible, failing (in use although it fails, as the last one), draining, unhealthy, ejected."),
	)
	pooled, _ := m.Int64ObservableGauge(
		"lb.pool.connections", metric.WithDescription("Idle connections by backend."),
	)
	waiting, _ := m.Int64ObservableGauge(
		"lb.queue.length", metric.WithDescription("Requests waiting for a place in flight."),
	)
	budget, _ := m.Float64ObservableGauge(
		"lb.retry.budget", metric.WithDescription("Retries that may be made now."),
	)

	m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		requests, open := p.Active()
		o.ObserveInt64(active, int64(requests))
		o.ObserveInt64(tunnels, int64(open))
		for _, s := range p.services {
			of := p.serviceAttributes(s)
			o.ObserveInt64(waiting, s.Waiting(), metric.WithAttributes(of...))
			o.ObserveFloat64(budget, s.Budget(time.Now()), metric.WithAttributes(of...))
		}

		for _, e := range p.Backends() {
			if e.Leaving {
				continue
			}

			kv := withService(e.Service, attrBackend.String(e.Name))
			name := metric.WithAttributes(kv...)
			o.ObserveInt64(inFlight, e.InFlight, name)
			o.ObserveInt64(pooled, int64(e.Idle), name)
			kv = append(kv, attribute.String("lb.endpoint.state", stateWord(e)))
			o.ObserveInt64(state, 1, metric.WithAttributes(kv...))
		}

		return nil
	}, active, tunnels, inFlight, state, pooled, waiting, budget)
}

// serviceAttributes names a service if there are several.
func (p *Proxy) serviceAttributes(s service) []attribute.KeyValue {
	if !p.cfg.NamesServices() {
		return nil
	}

	return withService(s.title())
}

// withService adds the name of a service to attributes, unless there is only
// one service.
func withService(service string, kv ...attribute.KeyValue) []attribute.KeyValue {
	if service != "" {
		kv = append(kv, attrService.String(service))
	}

	return kv
}

// The keys of prepared attribute sets. service and route are "" if there is
// only one.
type (
	serverKey struct {
		method, scheme, protocol, failure string
		status                            int
		route, pattern                    string
	}
	clientKey struct {
		service, backend, method, failure string
		status                            int
	}
	attemptKey struct {
		service, backend, outcome string
		why                       backend.Reason
	}
	counterKey struct{ counter, value, service string }
)

// counterTexts describes the counters that are split by one attribute. See
// counterKey.attributes for the attribute.
var counterTexts = map[string]string{
	"lb.retries":           "Retries by class.",
	"lb.ejections":         "Outlier ejections by backend.",
	"lb.access.refused":    "Requests that a gate turned away, by reason.",
	"lb.affinity.verdicts": "Requests by the verdict on their affinity cookie.",
	"lb.background.panics": "Faults of Pillion's own in the background, by kind of work.",
	"lb.mirrors":           "Copies of requests for mirrors, by what became of them.",
	"lb.hedges": "Requests that LB_HEDGE sent to a second endpoint, or would have, by " +
		"what came of it.",
}

func (k counterKey) attributes() []attribute.KeyValue {
	switch k.counter {
	case "lb.retries":
		return []attribute.KeyValue{attrRetry.String(k.value)}
	case "lb.access.refused":
		return []attribute.KeyValue{attrAccess.String(k.value)}
	case "lb.ejections":
		return withService(k.service, attrBackend.String(k.value))
	case "lb.mirrors":
		return withService(k.service, attrMirror.String(k.value))
	case "lb.hedges":
		return withService(k.service, attrHedge.String(k.value))
	case "lb.background.panics":
		return []attribute.KeyValue{attribute.String("lb.work", k.value)}
	}

	return withService(k.service, attrCookie.String(k.value))
}

// request records a request that has ended.
func (n *metrics) request(x *exchange) {
	r := &x.record
	ctx := x.context()
	method, _ := spanMethod(r.Method)
	k := serverKey{method, r.Scheme, protocolVersion(x.r), r.failure(), r.Status, r.Route, r.Pattern}
	n.server.Record(ctx, r.Duration.Seconds(), n.servers.get(k, k.attributes).record...)
	if x.claim.Session.State != affinity.Off {
		n.count("lb.affinity.verdicts", string(x.claim.Session.State), r.Service)
	}

	if r.Queue > 0 {
		n.queued.Record(ctx, r.Queue.Seconds())
	}
}

// attempt records an attempt that has ended.
func (n *metrics) attempt(x *exchange, status int, e *wire.Error, took time.Duration) {
	ep := x.place.Endpoint
	ctx := x.context()
	method, _ := spanMethod(x.r.Method)
	k := clientKey{
		service: x.record.Service,
		backend: ep.Name,
		method:  method,
		failure: attemptFailure(status, e),
		status:  status,
	}
	outcome := "answered"
	if e != nil {
		if outcome = errorType(e); outcome == "" {
			outcome = x.gone()
		}
	}

	set := n.clients.get(k, func() []attribute.KeyValue { return k.attributes(ep) })
	n.client.Record(ctx, took.Seconds(), set.record...)
	t := attemptKey{x.record.Service, ep.Name, outcome, x.place.Reason}
	n.attempts.get(t, t.attributes).count.Add(1)
	if x.record.Attempts > 1 {
		n.count("lb.retries", x.record.Retry, "")
	}
}

// gone returns the outcome of an attempt that Pillion ended because its answer
// was not needed any more.
func (x *exchange) gone() string {
	if x.hedge != nil && x.hedge.isOver() {
		return "hedge_lost"
	}

	return "client_gone"
}

// count adds one to a counter of counterTexts.
func (n *metrics) count(counter, word, service string) {
	k := counterKey{counter, word, service}
	n.counters.get(k, k.attributes).count.Add(1)
}

func (k serverKey) attributes() []attribute.KeyValue {
	kv := []attribute.KeyValue{
		semconv.HTTPRequestMethodKey.String(k.method), semconv.URLScheme(k.scheme),
		semconv.NetworkProtocolVersion(k.protocol), semconv.HTTPResponseStatusCode(k.status),
	}
	if k.failure != "" {
		kv = append(kv, semconv.ErrorTypeKey.String(k.failure))
	}
	if k.route != "" {
		kv = append(kv, semconv.HTTPRoute(k.pattern), attrRoute.String(k.route))
	}

	return kv
}

func (k clientKey) attributes(ep *backend.Endpoint) []attribute.KeyValue {
	kv := []attribute.KeyValue{
		semconv.HTTPRequestMethodKey.String(
			k.method,
		), semconv.ServerAddress(ep.Addr), semconv.ServerPort(ep.Port),
		attrBackend.String(k.backend),
	}
	kv = withService(k.service, kv...)
	if k.status != 0 {
		kv = append(kv, semconv.HTTPResponseStatusCode(k.status))
	}

	if k.failure != "" {
		kv = append(kv, semconv.ErrorTypeKey.String(k.failure))
	}

	return kv
}

func (k attemptKey) attributes() []attribute.KeyValue {
	return withService(k.service,
		attrBackend.String(k.backend),
		attrReason.String(string(k.why)),
		attribute.String("lb.outcome", k.outcome),
	)
}

// context returns a context with the request's span, which exemplars need, if
// the request has a span.
func (x *exchange) context() context.Context {
	if x.ctx != nil {
		return x.ctx
	}
	return context.Background()
}

// maxSeries bounds how many attribute sets one instrument keeps, because
// backends come and go.
const maxSeries = 20000

// series finds prepared attribute sets by their keys. Readers take no lock.
type series[K comparable] struct {
	known atomic.Pointer[map[K]*attributeSet]
	mu    sync.Mutex
}

// attributeSet is a prepared attribute set in the forms that instruments take.
type attributeSet struct {
	record  []metric.RecordOption
	observe []metric.ObserveOption
	count   atomic.Int64
}

// each calls f for every set.
func (s *series[K]) each(f func(K, *attributeSet)) {
	if m := s.known.Load(); m != nil {
		for k, v := range *m {
			f(k, v)
		}
	}
}

func (s *series[K]) get(k K, attributes func() []attribute.KeyValue) *attributeSet {
	if m := s.known.Load(); m != nil {
		if found, ok := (*m)[k]; ok {
			return found
		}
	}
	return s.make(k, attributes())
}

func (s *series[K]) make(k K, kv []attribute.KeyValue) *attributeSet {
	s.mu.Lock()
	defer s.mu.Unlock()
	option := metric.WithAttributeSet(attribute.NewSet(kv...))
	fresh := &attributeSet{
		record: []metric.RecordOption{option}, observe: []metric.ObserveOption{option},
	}
	old := s.known.Load()

	next := make(map[K]*attributeSet)
	if old != nil {
		if found, ok := (*old)[k]; ok {
			return found
		}
		if len(*old) >= maxSeries {
			return fresh
		}

		maps.Copy(next, *old)
	}

	next[k] = fresh
	s.known.Store(&next)
	return fresh
}
