package command

import (
	"fmt"
	"io"
	"strings"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/terminal"
)

// Report writes the problems of an environment. In a log, each problem is one
// line. On a terminal, it is several short lines.
func Report(w io.Writer, problems []config.Problem) {
	screen := terminal.Of(w, true)
	if screen == nil {
		_ = config.Report(w, problems)
		return
	}

	for _, p := range problems {
		for _, line := range p.Lines() {
			fmt.Fprintln(w, terminal.Fold(line, screen.Width(), underText))
		}
	}
}

// underText is the indent of the second and later lines of a folded text: below
// its first letter, which is behind a label such as "accepted".
const underText = len("    accepted  ")

// folded returns a text folded to the width of the terminal. If w is not a
// terminal, the text is not changed.
func folded(w io.Writer, text string) string {
	width := terminal.Of(w, true).Width()
	if width == 0 {
		return text
	}

	var b strings.Builder
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		b.WriteString(terminal.Fold(line, width, 4) + "\n")
	}

	return b.String()
}
