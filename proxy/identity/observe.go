package identity

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Observe registers the metric of every audience's token: the seconds since it was fetched, -1 without one. A nil meter
// is one that nobody looks at. The error is the meter's.
func (s *Source) Observe(m metric.Meter) error {
	if m == nil {
		return nil
	}
	_, err := m.Float64ObservableGauge("lb.identity.token.age", metric.WithUnit("s"),
		metric.WithDescription("Age of each audience's token."),
		metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			now := time.Now()
			for _, state := range s.States() {
				o.Observe(state.Age(now).Seconds(), metric.WithAttributes(attribute.String("lb.audience", state.Audience)))
			}
			return nil
		}))
	return err
}
