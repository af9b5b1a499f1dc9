package telemetry

import (
	"fmt"
	"log/slog"
	"strconv"
	"unicode/utf8"
)

// longestLine bounds a line of the log, its line break included. Docker and
// containerd cut longer lines, and a cut line is not valid JSON.
const longestLine = 16 << 10

// Bounds of one text in a line, in written bytes. Clients can send texts in
// which every byte needs an escape, so the length of the text itself is not a
// bound. The sum of all texts of an access line is below longestLine; the URL
// and the method are in it twice.
const (
	longestMethod = 64
	longestURL    = 4 << 10
	longestText   = 2 << 10 // of a user agent, of an error
	longestName   = 256     // of everything else
	longestAttr   = 1 << 10 // of a value in other lines, and in spans on the console
)

// within returns the longest beginning of s that takes at most limit bytes when
// it is quoted, in JSON or by strconv.Quote. It does not cut a character.
func within(s string, limit int) string {
	if len(s)*longestEscape <= limit {
		return s
	}

	used := 0
	for i, size := 0, 0; i < len(s); i += size {
		var r rune
		r, size = utf8.DecodeRuneInString(s[i:])
		if used += quotedLen(r, size); used > limit {
			return s[:i]
		}
	}

	return s
}

// longestEscape is the length of the longest escape of a byte: \u0000.
const longestEscape = 6

// quotedLen returns how many bytes a quoted character may take.
func quotedLen(r rune, size int) int {
	switch {
	case r == '"' || r == '\\' || r == '\n' || r == '\r' || r == '\t':
		return 2
	case r > 0xffff && !strconv.IsPrint(r):
		return len(`\U00000000`)
	case r == utf8.RuneError || !strconv.IsPrint(r):
		return longestEscape
	}

	return size
}

// bounded wraps a function for slog.HandlerOptions.ReplaceAttr, so that it
// bounds the values too.
func bounded(next func([]string, slog.Attr) slog.Attr) func([]string, slog.Attr) slog.Attr {
	return func(groups []string, a slog.Attr) slog.Attr {
		a = next(groups, a)
		switch a.Value.Kind() {
		case slog.KindString:
			a.Value = slog.StringValue(within(a.Value.String(), longestAttr))
		case slog.KindAny:
			a.Value = boundedAny(a.Value)
		}

		return a
	}
}

// boundedAny bounds values that are not texts.
func boundedAny(v slog.Value) slog.Value {
	switch v := v.Any().(type) {
	case error:
		return slog.StringValue(within(v.Error(), longestAttr))
	case []string:
		return slog.AnyValue(boundedList(v))
	}

	return v
}

// boundedList returns the first items that fit, and the number of those that do
// not.
func boundedList(items []string) []string {
	var list []string
	room := longestAttr
	for i, item := range items {
		cut := within(item, room)
		if room -= len(cut) + len(`"",`); room < 0 || len(cut) < len(item) {
			return append(list, fmt.Sprintf("… and %d more", len(items)-i))
		}

		list = append(list, cut)
	}

	return list
}
