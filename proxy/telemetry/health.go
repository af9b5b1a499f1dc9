package telemetry

import (
	"log/slog"
	"sync"
)

// health says in the log when an export stops working and when it works again, once each. Safe for concurrent use.
type health struct {
	logger *slog.Logger
	what   string // "spans", "metrics"

	mu      sync.Mutex
	broken  bool
	before  int64 // lost when it broke
	lastSum int64 // lost at the last success
}

// failing takes note of a failure.
func (h *health) failing(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.broken {
		return
	}
	h.broken, h.before = true, h.lastSum
	h.logger.Warn(h.what+" cannot be exported", "error", err)
}

// working takes note of a success, when sum items were lost so far. It ends a failure only when nothing was lost since the success before, so that a
// collector that is merely too slow is said once and not with every batch.
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
