package config

import (
	"fmt"
	"io"
	"strings"
	"unicode"
)

// Problem is one thing wrong with the environment, in words a user can act on. It prints as one line.
type Problem struct {
	Variable string // "LB_RETRIES"
	Given    string // what was given, masked for secrets; "" for a missing variable
	Reason   string // what is wrong: `"many" is not a number`
	Accepted string // what is accepted: "a whole number from 0 to 10"
	Example  string // "LB_RETRIES='1'"
}

// String is the problem's line, without a line break whatever was given.
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

// Report writes the problems, one line each.
func Report(w io.Writer, problems []Problem) error {
	for _, p := range problems {
		if _, err := fmt.Fprintln(w, p); err != nil {
			return err
		}
	}
	return nil
}

// oneLine replaces everything that a terminal or a log viewer could take for a line break or an escape.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
}

// clip shortens a value for a message: a file pasted into a variable should not fill the screen.
func clip(s string) string {
	const most = 80
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}
