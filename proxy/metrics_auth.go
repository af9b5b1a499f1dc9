package proxy

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/pillion-lb/pillion/proxy/auth"
)

// observeKeys registers the metrics of the providers' keys: their age, and the
// results of fetching them. Keys that can't be fetched again are used for a
// day.
func observeKeys(m metric.Meter, k *auth.Keys) {
	age, _ := m.Float64ObservableGauge("lb.auth.keys.age", metric.WithUnit("s"),
		metric.WithDescription("Time since the keys of a provider were fetched."))
	fetches, _ := m.Int64ObservableCounter("lb.auth.fetches",
		metric.WithDescription("Fetches of keys by provider and result."))

	m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, s := range k.States(time.Now()) {
			provider := attribute.String("lb.auth.provider", s.Provider)
			if s.Age != nil {
				o.ObserveFloat64(age, *s.Age, metric.WithAttributes(provider))
			}
			for result, n := range map[string]int64{"ok": s.Fetched, "failed": s.Failed} {
				o.ObserveInt64(fetches, n,
					metric.WithAttributes(provider, attribute.String("lb.auth.result", result)))
			}
		}

		return nil
	}, age, fetches)
}
