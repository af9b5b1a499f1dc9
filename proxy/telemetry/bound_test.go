package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// longTexts is long texts of characters that become longer when they are
// written, each in its own way.
func longTexts() []string {
	var texts []string
	for _, unit := range []string{
		"a", `"`, `\`, "\x00", "\x1b", "\n", "\xff", "é", "\u2028", "\u202e", "🚦", "\U000e0001", "<", "a\xff\"é",
	} {
		texts = append(texts, strings.Repeat(unit, 100<<10/len(unit)))
	}
	return texts
}

func TestWithin_BoundsWhatIsWritten(t *testing.T) {
	t.Parallel()
	for _, s := range longTexts() {
		for _, limit := range []int{0, 1, 5, 64, longestURL} {
			cut := within(s, limit)
			asJSON := appendEscaped(nil, cut)
			quoted := strconv.Quote(cut)
			if len(asJSON) > limit || len(quoted)-2 > limit {
				t.Errorf("%.8q within %d: %d bytes of JSON, %d quoted", s, limit, len(asJSON), len(quoted)-2)
			}
			if limit-len(asJSON) > limit/2+10 && utf8.ValidString(s) && len(quoted)-2 < limit-10 {
				t.Errorf("%.8q within %d: only %d bytes are used", s, limit, len(asJSON))
			}
			if utf8.ValidString(s) && !utf8.ValidString(cut) {
				t.Errorf("%.8q within %d: a character is cut", s, limit)
			}
		}
	}
	if s := "short \" and é"; within(s, 100) != s || within(s, len(s)+1) != s {
		t.Error("a text that fits is cut")
	}
}

func TestAccess_NoLineIsLongerThanALogTakes(t *testing.T) {
	t.Parallel()
	for _, s := range longTexts() {
		line := AccessLine{
			Time: time.Unix(1, 0), Method: s, URL: s, Status: 502, Latency: time.Hour, RemoteIP: s, UserAgent: s,
			RequestSize: 1 << 62, ResponseSize: 1 << 62, Protocol: s, TraceID: traceID, SpanID: parentID, Sampled: true,
			RequestID: s, Backend: s, Attempts: 4, Pick: s, Cookie: s, Ended: s, Error: s,
		}
		for form, text := range map[string][]byte{"json": line.appendJSON(nil, s), "text": line.appendText(nil)} {
			if len(text) > longestLine || bytes.IndexByte(text, '\n') != len(text)-1 {
				t.Errorf("%.8q as %s: %d bytes", s, form, len(text))
			}
		}
		if raw := line.appendJSON(nil, s); !json.Valid(raw) {
			t.Errorf("%.8q is no JSON", s)
		}
	}
}

func TestLogger_NoLineIsLongerThanALogTakes(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "text"} {
		for _, s := range longTexts() {
			log := NewLogger(io.Discard, loaded(t, "LB_LOG_FORMAT="+format))
			var out bytes.Buffer
			logger := slog.New(log.handler(&out, slog.LevelInfo)).With("source", s)
			list := strings.SplitAfter(s, s[:1])
			logger.Warn("discovery refused part of an answer", "text", s, "error", errors.New(s), "refused", list,
				"again", s, "and", s, slog.Group("group", "inside", s))
			if n := out.Len(); n > longestLine || bytes.Count(out.Bytes(), []byte{'\n'}) != 1 {
				t.Errorf("%s, %.8q: %d bytes", format, s, n)
			}
			if format == "json" && !json.Valid(out.Bytes()) {
				t.Errorf("%.8q: %.200q", s, out.String())
			}
		}
	}
}

func TestConsole_NoSpanIsLongerThanALogTakes(t *testing.T) {
	t.Parallel()
	for _, s := range longTexts() {
		_, started := tracingTo(&fakeExporter{}, testLimits).Start(trace.SpanContext{}, traceID, s, time.Now(),
			attribute.String("url.path", s),
			attribute.String("url.query", s), attribute.String("user_agent.original", s), attribute.String("client.address", s))
		line := appendSpan(nil, started.(*span))
		if len(line) > longestLine || bytes.IndexByte(line, '\n') != len(line)-1 {
			t.Errorf("%.8q: %d bytes", s, len(line))
		}
	}
}

func TestBoundedList_SaysHowManyItemsAreMissing(t *testing.T) {
	t.Parallel()
	if got := boundedList([]string{"a", "b"}); strings.Join(got, "|") != "a|b" {
		t.Errorf("got %q", got)
	}
	many := make([]string, 1000)
	for i := range many {
		many[i] = "the target"
	}
	got := boundedList(many)
	if last := got[len(got)-1]; last != "… and "+strconv.Itoa(1000-len(got)+1)+" more" {
		t.Errorf("%d items, the last %q", len(got), last)
	}
}
