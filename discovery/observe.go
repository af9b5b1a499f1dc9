package discovery

import (
	"context"
	"errors"
	"slices"
	"time"

	labels "go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Observe registers the metrics of every source: whether its last refresh
// succeeded, and the seconds since its last good answer, if there was one. With
// a nil meter, it does nothing. The error is the meter's. of names the service
// if there are several.
func (d *Discovery) Observe(m metric.Meter, of ...labels.KeyValue) error {
	if m == nil {
		return nil
	}

	age, ageErr := m.Float64ObservableGauge("lb.discovery.age", metric.WithUnit("s"),
		metric.WithDescription("Age of each source's last good answer."))
	up, upErr := m.Int64ObservableGauge("lb.discovery.up",
		metric.WithDescription("1 for a source whose newest refresh succeeded, else 0."))
	if err := errors.Join(ageErr, upErr); err != nil {
		return err
	}

	_, err := m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		now := time.Now()
		for _, s := range d.States() {
			kv := append(slices.Clone(of), labels.String("lb.source", s.Source))
			source := metric.WithAttributes(kv...)
			if s.Up() {
				o.ObserveInt64(up, 1, source)
			} else {
				o.ObserveInt64(up, 0, source)
			}

			if answered, known := s.Age(now); known {
				o.ObserveFloat64(age, answered.Seconds(), source)
			}
		}

		return nil
	}, age, up)
	return err
}
