package proxy

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/pillion-lb/pillion/proxy/h1"
)

// metrics are the instruments of the proxy. They are nil when nothing reads them. What they are split by is bounded by
// the number of backends; never by paths or clients. Attribute sets are made once and found again without allocation.
// What only counts is counted here, by one atomic, and read when somebody asks.
type metrics struct {
	server metric.Float64Histogram
	client metric.Float64Histogram
	queued metric.Float64Histogram

	servers series[serverKey]
	clients series[clientKey]
	tries   series[tryKey]
	words   series[wordKey]
}

// durations are the bucket bounds that the HTTP conventions advise, in seconds.
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
	return n
}

// observe registers what is read when somebody asks.
func (n *metrics) observe(m metric.Meter, p *Proxy) {
	active, _ := m.Int64ObservableUpDownCounter("http.server.active_requests", metric.WithDescription("Requests in progress."))
	tunnels, _ := m.Int64ObservableUpDownCounter("lb.tunnels", metric.WithDescription("Open tunnels."))
	inFlight, _ := m.Int64ObservableUpDownCounter("lb.endpoint.in_flight", metric.WithDescription("Requests in flight by backend."))
	state, _ := m.Int64ObservableGauge("lb.endpoint.state", metric.WithDescription("1 for the state that a backend is in."))
	pooled, _ := m.Int64ObservableGauge("lb.pool.connections", metric.WithDescription("Idle connections by backend."))
	waiting, _ := m.Int64ObservableGauge("lb.queue.length", metric.WithDescription("Requests waiting for a place in flight."))
	budget, _ := m.Float64ObservableGauge("lb.retry.budget", metric.WithDescription("Retries that may be made now."))
	attempts, _ := m.Int64ObservableCounter("lb.attempts", metric.WithDescription("Attempts by backend, reason and outcome."))
	counters := make(map[string]metric.Int64Observable)
	counted := []metric.Observable{attempts}
	for name, text := range words {
		c, _ := m.Int64ObservableCounter(name, metric.WithDescription(text))
		counters[name], counted = c, append(counted, c)
	}
	m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		n.tries.each(func(_ tryKey, s *set) { o.ObserveInt64(attempts, s.count.Load(), s.observe...) })
		n.words.each(func(k wordKey, s *set) { o.ObserveInt64(counters[k.counter], s.count.Load(), s.observe...) })
		return nil
	}, counted...)
	m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		requests, open := p.Active()
		o.ObserveInt64(active, int64(requests))
		o.ObserveInt64(tunnels, int64(open))
		o.ObserveInt64(waiting, p.service.queue.waiting.Load())
		o.ObserveFloat64(budget, p.service.budget.left(time.Now()))
		for _, e := range p.Endpoints() {
			name := metric.WithAttributes(attrBackend.String(e.Name))
			o.ObserveInt64(inFlight, e.InFlight, name)
			o.ObserveInt64(pooled, int64(e.Idle), name)
			o.ObserveInt64(state, 1, metric.WithAttributes(attrBackend.String(e.Name), attribute.String("lb.endpoint.state", e.State)))
		}
		return nil
	}, active, tunnels, inFlight, state, pooled, waiting, budget)
}

// Keys of prepared attribute sets.
type (
	serverKey struct {
		method, scheme, protocol, failure string
		status                            int
	}
	clientKey struct {
		backend, method, failure string
		status                   int
	}
	tryKey struct {
		backend, outcome string
		why              reason
	}
	wordKey struct{ counter, word string }
)

// words are the counters that are split by one word, and the attributes that hold it.
var words = map[string]string{
	"lb.retries":           "Retries by class.",
	"lb.ejections":         "Outlier ejections by backend.",
	"lb.affinity.verdicts": "Requests by the verdict on their affinity cookie.",
}

func (k wordKey) attributes() []attribute.KeyValue {
	switch k.counter {
	case "lb.retries":
		return []attribute.KeyValue{attrRetry.String(k.word)}
	case "lb.ejections":
		return []attribute.KeyValue{attrBackend.String(k.word)}
	}
	return []attribute.KeyValue{attrCookie.String(k.word)}
}

// request records one request that has ended.
func (n *metrics) request(x *exchange) {
	r := &x.record
	ctx := x.context()
	method, _ := spanMethod(r.Method)
	k := serverKey{method, r.Scheme, protocolVersion(x.r), r.failure(), r.Status}
	n.server.Record(ctx, r.Duration.Seconds(), n.servers.get(k, k.attributes).record...)
	if x.verdict != cookieOff {
		n.count("lb.affinity.verdicts", string(x.verdict))
	}
	if r.Queue > 0 {
		n.queued.Record(ctx, r.Queue.Seconds())
	}
}

// attempt records one attempt that has ended.
func (n *metrics) attempt(x *exchange, ep *endpoint, status int, e *h1.Error, took time.Duration) {
	ctx := x.context()
	method, _ := spanMethod(x.r.Method)
	k := clientKey{backend: ep.name, method: method, failure: attemptFailure(status, e), status: status}
	outcome := "answered"
	if e != nil {
		if outcome = errorType(e); outcome == "" {
			outcome = "client_gone"
		}
	}
	n.client.Record(ctx, took.Seconds(), n.clients.get(k, func() []attribute.KeyValue { return k.attributes(ep) }).record...)
	t := tryKey{ep.name, outcome, x.reason}
	n.tries.get(t, t.attributes).count.Add(1)
	if x.record.Attempts > 1 {
		n.count("lb.retries", x.record.Retry)
	}
}

// count adds one to a counter that is split by one word.
func (n *metrics) count(counter, word string) {
	k := wordKey{counter, word}
	n.words.get(k, k.attributes).count.Add(1)
}

func (k serverKey) attributes() []attribute.KeyValue {
	kv := []attribute.KeyValue{
		semconv.HTTPRequestMethodKey.String(k.method), semconv.URLScheme(k.scheme),
		semconv.NetworkProtocolVersion(k.protocol), semconv.HTTPResponseStatusCode(k.status),
	}
	if k.failure != "" {
		kv = append(kv, semconv.ErrorTypeKey.String(k.failure))
	}
	return kv
}

func (k clientKey) attributes(ep *endpoint) []attribute.KeyValue {
	kv := []attribute.KeyValue{
		semconv.HTTPRequestMethodKey.String(k.method), semconv.ServerAddress(ep.addr), semconv.ServerPort(ep.port),
		attrBackend.String(k.backend),
	}
	if k.status != 0 {
		kv = append(kv, semconv.HTTPResponseStatusCode(k.status))
	}
	if k.failure != "" {
		kv = append(kv, semconv.ErrorTypeKey.String(k.failure))
	}
	return kv
}

func (k tryKey) attributes() []attribute.KeyValue {
	return []attribute.KeyValue{attrBackend.String(k.backend), attrReason.String(string(k.why)), attribute.String("lb.outcome", k.outcome)}
}

// context carries the request's span to exemplars, if it has one.
func (x *exchange) context() context.Context {
	if x.ctx != nil {
		return x.ctx
	}
	return context.Background()
}

// maxSeries bounds how many attribute sets one instrument prepares; backends come and go.
const maxSeries = 20000

// series finds prepared attribute sets by their key. Readers lock nothing.
type series[K comparable] struct {
	known atomic.Pointer[map[K]*set]
	mu    sync.Mutex
}

// set is an attribute set as instruments take it.
type set struct {
	record  []metric.RecordOption
	observe []metric.ObserveOption
	count   atomic.Int64
}

// each calls f for every set.
func (s *series[K]) each(f func(K, *set)) {
	if m := s.known.Load(); m != nil {
		for k, v := range *m {
			f(k, v)
		}
	}
}

func (s *series[K]) get(k K, attributes func() []attribute.KeyValue) *set {
	if m := s.known.Load(); m != nil {
		if found, ok := (*m)[k]; ok {
			return found
		}
	}
	return s.make(k, attributes())
}

func (s *series[K]) make(k K, kv []attribute.KeyValue) *set {
	s.mu.Lock()
	defer s.mu.Unlock()
	option := metric.WithAttributeSet(attribute.NewSet(kv...))
	fresh := &set{record: []metric.RecordOption{option}, observe: []metric.ObserveOption{option}}
	old := s.known.Load()
	next := make(map[K]*set)
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
