package status

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

const (
	maxEvents    = 100 // events in memory
	maxAlike     = 40  // events with the same message, so that one message can't replace all others
	longestEvent = 300 // bytes of an event's attributes as text
)

// Event is a log record as the page shows it.
type Event struct {
	At      time.Time `json:"at"`
	Level   string    `json:"level"` // "INFO", "WARN", "ERROR"
	Message string    `json:"message"`
	Details string    `json:"details,omitempty"` // the attributes
}

// Events is a slog.Handler that keeps the newest records for the page and
// passes every record on to the next handler. Access log lines are not written
// through it. Its memory is bounded. It is safe for concurrent use.
type Events struct {
	next  slog.Handler
	kept  *keptEvents
	attrs string // of With, as text
}

type keptEvents struct {
	mu   sync.Mutex
	list []Event // the oldest first
}

// NewEvents returns a handler that passes its records on to next.
func NewEvents(next slog.Handler) *Events { return &Events{next: next, kept: &keptEvents{}} }

// Enabled reports whether the page or the next handler wants records of a
// level.
func (e *Events) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || e.next.Enabled(ctx, level)
}

// Handle keeps a record for the page and passes it on.
func (e *Events) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelInfo {
		var details strings.Builder
		details.WriteString(e.attrs)
		r.Attrs(func(a slog.Attr) bool {
			appendAttr(&details, a)
			return details.Len() < longestEvent
		})
		e.kept.add(Event{r.Time, r.Level.String(), r.Message, cut(details.String(), longestEvent)})
	}

	if !e.next.Enabled(ctx, r.Level) {
		return nil
	}

	return e.next.Handle(ctx, r)
}

// WithAttrs returns a handler that adds attributes to each record.
func (e *Events) WithAttrs(attrs []slog.Attr) slog.Handler {
	var text strings.Builder
	text.WriteString(e.attrs)
	for _, a := range attrs {
		appendAttr(&text, a)
	}

	return &Events{e.next.WithAttrs(attrs), e.kept, cut(text.String(), longestEvent)}
}

// WithGroup returns a handler that groups attributes for the next handler. The
// page shows them without the group.
func (e *Events) WithGroup(name string) slog.Handler {
	return &Events{e.next.WithGroup(name), e.kept, e.attrs}
}

// All returns the events, the newest first.
func (e *Events) All() []Event {
	e.kept.mu.Lock()
	defer e.kept.mu.Unlock()
	all := make([]Event, 0, len(e.kept.list))
	for i := len(e.kept.list) - 1; i >= 0; i-- {
		all = append(all, e.kept.list[i])
	}

	return all
}

// add keeps an event. If maxAlike events have the same message, it replaces the
// oldest of these. Else, if maxEvents are kept, it replaces the oldest of all.
func (k *keptEvents) add(e Event) {
	k.mu.Lock()
	defer k.mu.Unlock()
	drop, alike := -1, 0
	for i := range k.list {
		if k.list[i].Message == e.Message {
			if alike++; alike == 1 {
				drop = i
			}
		}
	}

	switch {
	case alike >= maxAlike:
	case len(k.list) >= maxEvents:
		drop = 0
	default:
		k.list = append(k.list, e)
		return
	}

	copy(k.list[drop:], k.list[drop+1:])
	k.list[len(k.list)-1] = e
}

func appendAttr(b *strings.Builder, a slog.Attr) {
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	fmt.Fprintf(b, "%s=%s", a.Key, a.Value.Resolve().String())
}

// cut shortens a text to a number of bytes, without splitting a character.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}

	return strings.ToValidUTF8(s[:most], "") + "…"
}
