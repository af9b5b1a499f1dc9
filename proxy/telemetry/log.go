package telemetry

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/terminal"
)

// clock is the format of the time of day in text lines.
const clock = "15:04:05.000"

// Log is the process's log: one line per event on one output, JSON with Cloud
// Logging's field names or, for a terminal, text. A caller never waits for the
// output: lines wait in a bounded queue. Lines that don't fit are dropped and
// counted, and a later line has their number. Run writes the lines; without it,
// they wait for Close. Safe for concurrent use.
type Log struct {
	queue   *lineQueue
	logger  *slog.Logger
	text    bool
	screen  *terminal.Screen       // nil: the output is no terminal, or gets JSON
	project atomic.Pointer[string] // Google Cloud project of trace names, which becomes known late
	buffers sync.Pool              // of *[]byte, for access lines
}

// NewLogger makes a log that writes to w in the format of LB_LOG_FORMAT and
// above the level of LB_LOG_LEVEL. Without a format, a terminal gets text and
// any other output JSON. Text for a terminal has colours and fits its width.
func NewLogger(w io.Writer, cfg *config.Config) *Log {
	screen := terminal.Of(w, cfg.Platform.PlainText)
	return newLogger(w, cfg, screen)
}

func newLogger(w io.Writer, cfg *config.Config, screen *terminal.Screen) *Log {
	format := cfg.Process.LogFormat
	l := &Log{text: format == config.LogText || format == "" && screen != nil}
	if l.text {
		l.screen = screen
	}
	l.buffers.New = func() any { b := make([]byte, 0, 1<<10); return &b }
	l.SetProject(cfg.Platform.ProjectID)
	l.queue = newLineQueue(w, l.droppedLine)
	l.logger = slog.New(l.handler(l.queue, cfg.Process.LogLevel))
	return l
}

// Screen returns the terminal that gets text, or nil if the output is no
// terminal.
func (l *Log) Screen() *terminal.Screen { return l.screen }

// Print writes a text as it stands, for a person at a terminal.
func (l *Log) Print(text string) { l.queue.put([]byte(text)) }

// handler formats records for w, which gets each line with one call of Write.
func (l *Log) handler(w io.Writer, level slog.Level) slog.Handler {
	if l.text {
		return newTextHandler(w, level, l.screen)
	}

	options := &slog.HandlerOptions{Level: level, ReplaceAttr: bounded(cloudNames)}
	return traced{slog.NewJSONHandler(w, options), l}
}

// Logger returns the logger for everything except access lines. A record whose
// context has a span names its trace.
func (l *Log) Logger() *slog.Logger { return l.logger }

// SetProject names the Google Cloud project that trace names start with, "" for
// none.
func (l *Log) SetProject(id string) { l.project.Store(&id) }

// Dropped returns the number of lines that were dropped so far.
func (l *Log) Dropped() int64 { return l.queue.dropped.Load() }

// Access logs one request. It does not keep line. The log level has no effect
// on it: the caller decides which requests are logged.
func (l *Log) Access(line *AccessLine) {
	if line.Time.IsZero() {
		line.Time = time.Now()
	}

	buffer := l.buffers.Get().(*[]byte)
	b := (*buffer)[:0]
	switch {
	case l.screen != nil:
		b = line.appendScreen(b, l.screen)
	case l.text:
		b = line.appendText(b)
	default:
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

// closeTime is how long the log may take at its end to write the lines that
// wait.
const closeTime = 200 * time.Millisecond

// Start begins to write lines. The returned function ends that. The end of ctx
// does not, because parts that end with it still log.
func (l *Log) Start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go l.Run(ctx)

	return func() {
		limit, done := context.WithTimeout(context.Background(), closeTime)
		defer done()
		l.Close(limit)
		cancel()
	}
}

// Close writes the lines that wait, until ctx ends, and drops later ones. It
// returns an error if the output did not accept all of them in time.
func (l *Log) Close(ctx context.Context) error { return l.queue.close(ctx) }

// droppedLine returns the line with the number of dropped lines, in the log's
// format.
func (l *Log) droppedLine(n int64) []byte {
	var line bytes.Buffer
	record := slog.NewRecord(time.Now(), slog.LevelWarn,
		"log lines were dropped because the output was blocked", 0)
	record.AddAttrs(slog.Int64("lines", n))
	_ = l.handler(&line, slog.LevelDebug).Handle(context.Background(), record)
	return line.Bytes()
}

// cloudNames gives slog's own fields the names and values that Cloud Logging
// expects.
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

// severity returns the LogSeverity of a level.
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

// traced adds the fields of the trace to records whose context has a span.
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
func (h traced) WithGroup(name string) slog.Handler {
	return traced{h.Handler.WithGroup(name),
		h.log}
}
