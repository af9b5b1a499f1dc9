package proxy

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// observeLimits registers the metrics of the limits and of their store.
func observeLimits(m metric.Meter, l *limits) {
	if len(l.scopes) == 0 {
		return
	}

	decisions, _ := m.Int64ObservableCounter("lb.rate_limit.decisions",
		metric.WithDescription("Requests by limit and decision."))
	questions, _ := m.Int64ObservableCounter("lb.rate_limit.store",
		metric.WithDescription("Questions to LB_RATE_LIMIT_STORE by what came of them."))
	up, _ := m.Int64ObservableGauge("lb.rate_limit.store.up",
		metric.WithDescription("1 while LB_RATE_LIMIT_STORE is in use, 0 while each instance counts "+
			"for itself."))

	m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, s := range l.scopes {
			for _, each := range s.list {
				c, name := each.Counts(), attribute.String("lb.rate_limit", each.Name())
				for decision, n := range map[string]int64{
					"allowed": c.Allowed, "refused": c.Refused, "would_refuse": c.WouldRefuse,
				} {
					o.ObserveInt64(decisions, n, metric.WithAttributes(name,
						attribute.String("lb.rate_limit.decision", decision)))
				}
			}
		}
		if l.store == nil {
			return nil
		}

		for result, n := range l.store.Results {
			o.ObserveInt64(questions, n, metric.WithAttributes(
				attribute.String("lb.rate_limit.store.result", result.String())))
		}
		on := int64(0)
		if l.store.State().On {
			on = 1
		}
		o.ObserveInt64(up, on)

		return nil
	}, decisions, questions, up)
}
