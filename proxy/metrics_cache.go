package proxy

import (
	"context"

	"github.com/pillion-lb/pillion/proxy/cache"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// observeCache registers the metrics of the cache.
func observeCache(m metric.Meter, p *Proxy) {
	c := p.cache
	requests, _ := m.Int64ObservableCounter("lb.cache.requests",
		metric.WithDescription("Requests by route, where there are several, and by what the cache did "+
			"with them."))
	bytes, _ := m.Int64ObservableUpDownCounter("lb.cache.bytes", metric.WithUnit("By"),
		metric.WithDescription("Memory of stored answers, which LB_CACHE_SIZE bounds."))
	objects, _ := m.Int64ObservableUpDownCounter("lb.cache.objects",
		metric.WithDescription("Stored answers."))
	evictions, _ := m.Int64ObservableCounter("lb.cache.evictions",
		metric.WithDescription("Answers that went because there was no room."))
	refused, _ := m.Int64ObservableCounter("lb.cache.refused",
		metric.WithDescription("Answers that might be stored and were not, by reason."))

	m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := c.Stats()
		o.ObserveInt64(bytes, s.Bytes)
		o.ObserveInt64(objects, s.Objects)
		o.ObserveInt64(evictions, s.Evictions)
		for _, r := range p.routing.routes {
			of := p.routing.named(r)
			r.cached.Each(func(result cache.Result, n int64) {
				kv := append(of[:len(of):len(of)], attrCache.String(string(result)))
				o.ObserveInt64(requests, n, metric.WithAttributes(kv...))
			})
		}
		for why, n := range s.Refused {
			o.ObserveInt64(refused, n, metric.WithAttributes(attribute.String("lb.cache.reason", why)))
		}

		return nil
	}, requests, bytes, objects, evictions, refused)
}

// named returns the attribute with the name of a route, or nothing if there is
// only one route.
func (g *routing) named(r *routed) []attribute.KeyValue {
	if g.table == nil {
		return nil
	}

	return []attribute.KeyValue{attrRoute.String(r.Title())}
}
