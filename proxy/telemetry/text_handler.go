package telemetry

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync"
)

// textHandler writes records for a person: time of day, level, message, then the attributes as key=value. The
// attributes are slog's own work, which also knows about groups; only the head of the line is ours.
type textHandler struct {
	slog.Handler
	line *textLine
}

// textLine joins a head and the attributes that follow it to one line. All handlers of one log share it.
type textLine struct {
	mu  sync.Mutex
	w   io.Writer
	buf bytes.Buffer
}

func newTextHandler(w io.Writer, level slog.Level) textHandler {
	line := &textLine{w: w}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: withoutHead}
	return textHandler{slog.NewTextHandler(&line.buf, options), line}
}

// withoutHead takes out what the head of the line says already.
func withoutHead(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
		return slog.Attr{}
	}
	return a
}

// Handle writes one line.
func (h textHandler) Handle(ctx context.Context, r slog.Record) error {
	h.line.mu.Lock()
	defer h.line.mu.Unlock()
	buf := &h.line.buf
	buf.Reset()
	head := r.Time.Local().AppendFormat(buf.AvailableBuffer(), clock)
	head = append(head, ' ')
	head = append(head, (r.Level.String() + "     ")[:max(5, len(r.Level.String()))]...)
	head = append(head, ' ')
	head = append(appendPlain(head, r.Message), ' ')
	buf.Write(head)
	if err := h.Handler.Handle(ctx, r); err != nil {
		return err
	}
	line := bytes.TrimRight(buf.Bytes(), " \n")
	_, err := h.line.w.Write(append(line, '\n'))
	return err
}

// WithAttrs keeps the head.
func (h textHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return textHandler{h.Handler.WithAttrs(attrs), h.line}
}

// WithGroup keeps the head.
func (h textHandler) WithGroup(name string) slog.Handler {
	return textHandler{h.Handler.WithGroup(name), h.line}
}
