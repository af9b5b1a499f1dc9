package proxy

import (
	"context"

	"github.com/pillion-lb/pillion/proxy/compress"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// observeCompression registers the metrics of the compression.
func observeCompression(m metric.Meter, e *compress.Encoders) {
	in, _ := m.Int64ObservableCounter("lb.compress.bytes_in", metric.WithUnit("By"),
		metric.WithDescription("Content that was compressed, before."))
	out, _ := m.Int64ObservableCounter("lb.compress.bytes_out", metric.WithUnit("By"),
		metric.WithDescription("The same, after."))
	skipped, _ := m.Int64ObservableCounter("lb.compress.skipped",
		metric.WithDescription("Answers that were not compressed, by reason."))

	m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := e.Stats()
		o.ObserveInt64(in, s.BytesIn)
		o.ObserveInt64(out, s.BytesOut)
		for why, n := range s.Skipped {
			o.ObserveInt64(skipped, n, metric.WithAttributes(attribute.String("lb.compress.reason", why)))
		}

		return nil
	}, in, out, skipped)
}
