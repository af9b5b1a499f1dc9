package proxy

import (
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// logAttempt is the debug line of an attempt that has ended. status is 0 if
// there was no answer.
func (x *exchange) logAttempt(status int, e *wire.Error) {
	connection := "new"
	if x.call.Reused {
		connection = "reused"
	}
	fields := []any{
		"request_id", x.record.RequestID, "backend", x.record.Backend, "attempt", x.record.Attempts,
		"pick", x.record.Reason, "connection", connection, "ms", rounded(time.Since(x.began)),
	}
	if status != 0 {
		fields = append(fields, "status", status)
	}
	if e != nil {
		fields = append(fields, "error", e.Cause())
	}
	if x.record.Attempts > 1 {
		fields = append(fields, "retry", string(x.class))
	}

	x.p.log.Debug("attempt", fields...)
}

// rounded returns a duration in milliseconds, rounded to a hundredth.
func rounded(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}
