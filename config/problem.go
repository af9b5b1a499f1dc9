package config

import (
	"fmt"
	"strings"
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
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, b.String())
}
