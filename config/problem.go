package config

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

// Problem is one mistake in the environment, in words that help to correct it.
// It prints as one line.
type Problem struct {
	Variable string // "LB_RETRIES"
	Given    string // the given value, masked for secrets; "" for a missing variable
	Reason   string // what is wrong: `"many" is not a number`
	Accepted string // what is accepted: "a whole number from 0 to 10"
	Example  string // "LB_RETRIES='1'"
}

// String returns the problem's line. It never contains a line break.
func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", p.Variable, p.Reason)
	if p.Accepted != "" {
		fmt.Fprintf(&b, "; accepted: %s", p.Accepted)
	}

	if p.Example != "" {
		fmt.Fprintf(&b, "; example: %s", p.Example)
	}

	return oneLine(b.String())
}

// Lines returns the problem for a terminal: what is wrong, and below it what is
// accepted, with an example.
func (p Problem) Lines() []string {
	lines := []string{oneLine(p.Variable + ": " + p.Reason)}
	if p.Accepted != "" {
		lines = append(lines, oneLine("    accepted  "+p.Accepted))
	}
	if p.Example != "" {
		lines = append(lines, oneLine("    example   "+p.Example))
	}

	return lines
}

// Sort sorts problems by the order of the table, and those of one variable by
// their names. Unknown names come last.
func Sort(problems []Problem) {
	order := map[string]int{}
	for i, name := range Names() {
		order[name] = i + 1 - 10_000
	}

	place := func(p Problem) int {
		base, _, _ := strings.Cut(p.Variable, separator)
		return order[base]
	}

	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(place(a)-place(b), strings.Compare(a.Variable, b.Variable))
	})
}

// Report writes the problems, one line each.
func Report(w io.Writer, problems []Problem) error {
	for _, p := range problems {
		if _, err := fmt.Fprintln(w, p); err != nil {
			return err
		}
	}

	return nil
}

// oneLine replaces characters that a terminal or a log viewer could take for a
// line break or an escape.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
}

// clip shortens a value for a message, because a whole file may have been
// pasted into a variable.
func clip(s string) string {
	const most = 80
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}
