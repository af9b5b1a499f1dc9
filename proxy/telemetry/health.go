package telemetry

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// health logs when an export stops working and when it works again, once each.
// Safe for concurrent use.
type health struct {
	logger *slog.Logger
	what   string // "spans", "metrics"

	mu      sync.Mutex
	broken  bool
	before  int64 // items lost when the failure began
	lastSum int64 // items lost at the last success
}

// failing notes a failure.
func (h *health) failing(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.broken {
		return
	}

	h.broken, h.before = true, h.lastSum
	h.logger.Warn(h.what+" cannot be exported", "error", withAdvice(err))
}

// withAdvice adds to an error what to do about it if the collector speaks the
// other protocol. Neither package has types for that, so a test holds the
// texts.
func withAdvice(err error) error {
	text, advice := err.Error(), ""
	switch {
	case strings.Contains(text, "looked like an HTTP/1.1 header"),
		strings.Contains(text, "unexpected HTTP status code received from server"):
		advice = "the collector does not speak gRPC there: its port for gRPC is mostly 4317; " +
			"else OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
	case strings.Contains(text, "malformed HTTP response"):
		advice = "the collector speaks gRPC there: its port for HTTP is mostly 4318; " +
			"else OTEL_EXPORTER_OTLP_PROTOCOL=grpc"
	default:
		return err
	}

	return fmt.Errorf("%w; %s", err, advice)
}

// working notes a success. sum is the number of items lost so far. A failure
// ends only if nothing was lost since the success before, so a collector that
// is too slow is logged once and not with every batch.
func (h *health) working(sum int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	more := sum - h.lastSum
	h.lastSum = sum
	switch {
	case more > 0 && !h.broken:
		h.broken, h.before = true, sum-more
		h.logger.Warn(h.what+" were dropped because the collector is too slow", "lost", more)
	case more == 0 && h.broken:
		h.broken = false
		h.logger.Info(h.what+" are exported again", "lost", sum-h.before)
	}
}
