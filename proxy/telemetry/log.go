package telemetry

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/pillion-lb/pillion/config"
)

// clock is how text lines show the time of day.
const clock = "15:04:05.000"

// Log is the process's log: one line per event on one output, JSON with Cloud Logging's field names or, for a terminal,
// text. Nobody who logs waits for the output: lines wait in a bounded queue, what does not fit is dropped, counted, and
// said when the output takes lines again. Safe for concurrent use. Run writes; without it lines wait for Close.
type Log struct {
	queue   *lineQueue
	logger  *slog.Logger
	text    bool
	project atomic.Pointer[string] // Google Cloud project of trace names, known late
	buffers sync.Pool              // of *[]byte, for access lines
}

// NewLogger makes a log that writes to w in the format of LB_LOG_FORMAT and above the level of LB_LOG_LEVEL. Without a
// format a terminal gets text and everything else JSON.
func NewLogger(w io.Writer, cfg *config.Config) *Log {
	l := &Log{text: cfg.Process.LogFormat == "text" || cfg.Process.LogFormat == "" && isTerminal(w)}
	l.buffers.New = func() any { b := make([]byte, 0, 1<<10); return &b }
	l.SetProject(cfg.Platform.ProjectID)
	l.queue = newLineQueue(w, l.droppedLine)
	l.logger = slog.New(l.handler(l.queue, cfg.Process.LogLevel))
	return l
}

// isTerminal reports whether w is a character device, which is what a terminal is.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// handler formats records for w, which gets each line with one call of Write.
func (l *Log) handler(w io.Writer, level slog.Level) slog.Handler {
	if l.text {
		return newTextHandler(w, level)
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: cloudNames}
	return traced{slog.NewJSONHandler(w, options), l}
}

// Logger is the log for everything but access lines. A record logged with a context that holds a span names its trace.
func (l *Log) Logger() *slog.Logger { return l.logger }

// SetProject names the Google Cloud project that trace names start with, "" for none.
func (l *Log) SetProject(id string) { l.project.Store(&id) }

// Dropped is the number of lines that were dropped so far.
func (l *Log) Dropped() int64 { return l.queue.dropped.Load() }

// Access logs one request. It keeps nothing of line. The log level does not concern it: whoever calls has decided.
func (l *Log) Access(line *AccessLine) {
	if line.Time.IsZero() {
		line.Time = time.Now()
	}
	buffer := l.buffers.Get().(*[]byte)
	b := (*buffer)[:0]
	if l.text {
		b = line.appendText(b)
	} else {
		b = line.appendJSON(b, *l.project.Load())
	}
	l.queue.put(b)
	*buffer = b
	l.buffers.Put(buffer)
}

// Run writes lines until ctx ends.
func (l *Log) Run(ctx context.Context) error {
	l.queue.run(ctx)
	return nil
}

// Close writes what waits, for as long as ctx allows, and drops what is logged from now on. An error says that the
// output did not take everything in time.
func (l *Log) Close(ctx context.Context) error { return l.queue.close(ctx) }

// droppedLine is the line that says how many lines are missing, in the log's own format.
func (l *Log) droppedLine(n int64) []byte {
	var line bytes.Buffer
	record := slog.NewRecord(time.Now(), slog.LevelWarn, "log lines were dropped because the output was blocked", 0)
	record.AddAttrs(slog.Int64("lines", n))
	_ = l.handler(&line, slog.LevelDebug).Handle(context.Background(), record)
	return line.Bytes()
}

// cloudNames gives slog's own fields the names and values that Cloud Logging expects.
func cloudNames(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.MessageKey:
		a.Key = "message"
	case slog.LevelKey:
		if level, ok := a.Value.Any().(slog.Level); ok {
			return slog.String("severity", severity(level))
		}
	}
	return a
}

// severity is the LogSeverity of a level.
func severity(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return "ERROR"
	case level >= slog.LevelWarn:
		return "WARNING"
	case level >= slog.LevelInfo:
		return "INFO"
	}
	return "DEBUG"
}

// traced adds the fields of the trace to records whose context holds a span.
type traced struct {
	slog.Handler
	log *Log
}

// Handle adds the trace of ctx.
func (h traced) Handle(ctx context.Context, r slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		name := span.TraceID().String()
		if project := *h.log.project.Load(); project != "" {
			name = "projects/" + project + "/traces/" + name
		}
		r = r.Clone()
		r.AddAttrs(
			slog.String("logging.googleapis.com/trace", name),
			slog.String("logging.googleapis.com/spanId", span.SpanID().String()),
			slog.Bool("logging.googleapis.com/trace_sampled", span.IsSampled()),
		)
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps the trace.
func (h traced) WithAttrs(attrs []slog.Attr) slog.Handler {
	return traced{h.Handler.WithAttrs(attrs), h.log}
}

// WithGroup keeps the trace, which then belongs to the group.
func (h traced) WithGroup(name string) slog.Handler { return traced{h.Handler.WithGroup(name), h.log} }
