package telemetry

import (
	"log/slog"
	"sync"
	"time"

	"github.com/go-logr/logr"
)

// sdkErrorGap is the least time between two lines about errors inside the SDK.
const sdkErrorGap = 10 * time.Second

// sdkErrors writes the errors of OpenTelemetry's global error handler and
// logger to Pillion's log: at most one every sdkErrorGap, and never the same
// one twice in a row. Safe for concurrent use.
type sdkErrors struct {
	logger *slog.Logger

	mu      sync.Mutex
	last    string
	at      time.Time
	skipped int
}

// Handle logs an error of the SDK or of an exporter.
func (e *sdkErrors) Handle(err error) { e.report(err.Error()) }

func (e *sdkErrors) report(text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	if text == e.last || now.Sub(e.at) < sdkErrorGap {
		e.skipped++
		return
	}

	args := []any{"error", text}
	if e.skipped > 0 {
		args = append(args, "not_said", e.skipped)
	}

	e.last, e.at, e.skipped = text, now, 0
	e.logger.Warn("telemetry reports an error", args...)
}

// sdkSink makes sdkErrors the sink of the SDK's internal logger. Only errors
// and warnings pass.
type sdkSink struct{ errors *sdkErrors }

// Init does nothing.
func (sdkSink) Init(logr.RuntimeInfo) {}

// Enabled lets warnings pass, which the SDK logs at verbosity 1.
func (sdkSink) Enabled(verbosity int) bool { return verbosity <= 1 }

// Info logs a warning of the SDK.
func (s sdkSink) Info(_ int, message string, _ ...any) { s.errors.report(message) }

// Error logs an error of the SDK.
func (s sdkSink) Error(err error, message string, _ ...any) {
	if err != nil {
		message += ": " + err.Error()
	}

	s.errors.report(message)
}

// WithValues drops the values, because the message is enough.
func (s sdkSink) WithValues(...any) logr.LogSink { return s }

// WithName drops the name.
func (s sdkSink) WithName(string) logr.LogSink { return s }
