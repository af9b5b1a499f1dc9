package discovery

import (
	"context"
	"time"

	labels "go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Observe registers the metric of every source's age: the seconds since its last good answer, -1 before the first. A nil
// meter is one that nobody looks at. The error is the meter's.
func (d *Discovery) Observe(m metric.Meter) error {
	if m == nil {
		return nil
	}
	_, err := m.Float64ObservableGauge("lb.discovery.age", metric.WithUnit("s"),
		metric.WithDescription("Age of each source's last good answer."),
		metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			now := time.Now()
			for _, s := range d.States() {
				o.Observe(s.Age(now).Seconds(), metric.WithAttributes(labels.String("lb.source", s.Source)))
			}
			return nil
		}))
	return err
}
