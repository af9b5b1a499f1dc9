package telemetry

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync"

	"github.com/pillion-lb/pillion/proxy/terminal"
)

// textHandler writes records as text: time of day, level, message, then the
// attributes as key=value. slog formats the attributes, with groups; only the
// head of the line is written here.
type textHandler struct {
	slog.Handler
	line *textLine
}

// textLine joins a head and its attributes to one line. All handlers of one log
// share it.
type textLine struct {
	mu     sync.Mutex
	w      io.Writer
	screen *terminal.Screen // nil: none
	buf    bytes.Buffer
}

func newTextHandler(w io.Writer, level slog.Level, screen *terminal.Screen) textHandler {
	line := &textLine{w: w, screen: screen}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: bounded(withoutHead)}
	return textHandler{slog.NewTextHandler(&line.buf, options), line}
}

// withoutHead removes the attributes that the head of the line has already.
func withoutHead(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey ||
		a.Key == slog.MessageKey) {
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
	screen := h.line.screen
	head := r.Time.Local().AppendFormat(buf.AvailableBuffer(), clockOf(screen))
	head = append(head, ' ')
	level := r.Level.String()
	head = screen.Append(head, colourOf(r.Level), (level + "     ")[:max(5, len(level))])
	head = append(head, ' ')
	head = append(appendPlain(head, r.Message, longestAttr), ' ')
	buf.Write(head)
	if err := h.Handler.Handle(ctx, r); err != nil {
		return err
	}

	line := bytes.TrimRight(buf.Bytes(), " \n")
	if screen != nil {
		line = []byte(terminal.Fold(string(line), screen.Width(), screenIndent))
	}
	_, err := h.line.w.Write(append(line, '\n'))
	return err
}

// colourOf returns the colour of a level.
func colourOf(level slog.Level) terminal.Colour {
	switch {
	case level >= slog.LevelError:
		return terminal.Red
	case level >= slog.LevelWarn:
		return terminal.Yellow
	case level >= slog.LevelInfo:
		return terminal.Plain
	}

	return terminal.Faint
}

// WithAttrs keeps the head.
func (h textHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return textHandler{h.Handler.WithAttrs(attrs), h.line}
}

// WithGroup keeps the head.
func (h textHandler) WithGroup(name string) slog.Handler {
	return textHandler{h.Handler.WithGroup(name), h.line}
}
