package identity

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Observe registers the metrics of every audience: whether it has a token that
// may be sent, and the seconds since the token was fetched, which an audience
// without a token does not have. A nil meter registers nothing. The error is
// the meter's. of names the service if there are several.
func (s *Source) Observe(m metric.Meter, of ...attribute.KeyValue) error {
	if m == nil {
		return nil
	}

	age, ageErr := m.Float64ObservableGauge("lb.identity.token.age", metric.WithUnit("s"),
		metric.WithDescription("Age of each audience's token."))
	up, upErr := m.Int64ObservableGauge("lb.identity.token.up",
		metric.WithDescription("1 for an audience with a valid token, else 0."))
	if err := errors.Join(ageErr, upErr); err != nil {
		return err
	}

	_, err := m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		now := time.Now()
		for _, state := range s.States() {
			kv := append(slices.Clone(of), attribute.String("lb.audience", state.Audience))
			audience := metric.WithAttributes(kv...)
			if now.Before(state.Expires) {
				o.ObserveInt64(up, 1, audience)
			} else {
				o.ObserveInt64(up, 0, audience)
			}

			if fetched, known := state.Age(now); known {
				o.ObserveFloat64(age, fetched.Seconds(), audience)
			}
		}

		return nil
	}, age, up)
	return err
}
