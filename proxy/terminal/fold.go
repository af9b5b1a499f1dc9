package terminal

import (
	"strings"
	"unicode/utf8"
)

// Fold breaks a line at blanks into lines that are at most width columns wide.
// All but the first begin with indent blanks. A word that is wider than a line
// is broken at the end of the line. Escape sequences of colours have no width.
// With width 0, the line is returned unchanged.
func Fold(line string, width, indent int) string {
	if width <= 0 || Columns(line) <= width {
		return line
	}

	indent = min(indent, width/2)
	f := folder{width: width, margin: strings.Repeat(" ", indent)}
	for len(line) > 0 {
		blanks := len(line) - len(strings.TrimLeft(line, " "))
		end := strings.IndexByte(line[blanks:], ' ')
		if end < 0 {
			end = len(line) - blanks
		}
		f.word(line[:blanks], line[blanks:blanks+end])
		line = line[blanks+end:]
	}

	return f.text.String()
}

// folder builds a folded text.
type folder struct {
	text   strings.Builder
	at     int // current column
	width  int
	margin string
}

// word appends the blanks before a word and the word.
func (f *folder) word(blanks, word string) {
	n := Columns(word)
	switch {
	case f.at+len(blanks)+n <= f.width:
		f.text.WriteString(blanks)
		f.at += len(blanks)
	case f.at > len(f.margin):
		f.breakLine()
	}

	for f.at+Columns(word) > f.width {
		head, rest := split(word, f.width-f.at)
		f.text.WriteString(head)
		f.breakLine()
		word = rest
	}

	f.text.WriteString(word)
	f.at += Columns(word)
}

func (f *folder) breakLine() {
	f.text.WriteString("\n" + f.margin)
	f.at = len(f.margin)
}

// Cut shortens a line to width columns. A shortened line ends with a mark, and
// with the end of a colour that is still on. With width 0, the line is returned
// unchanged.
func Cut(line string, width int) string {
	if width <= 0 || Columns(line) <= width {
		return line
	}

	head, _ := split(line, width-1)
	if strings.Contains(head, "\x1b[") {
		head += reset
	}

	return head + "…"
}

// split splits a text after a number of columns.
func split(s string, columns int) (head, rest string) {
	at := 0
	for at < len(s) {
		if n := escape(s[at:]); n > 0 {
			at += n
			continue
		}
		if columns == 0 {
			break
		}

		_, n := utf8.DecodeRuneInString(s[at:])
		at, columns = at+n, columns-1
	}

	return s[:at], s[at:]
}

// Columns returns the width of a text in columns. Every character counts as 1,
// because Pillion's texts have no wide characters.
func Columns(s string) (n int) {
	for len(s) > 0 {
		if e := escape(s); e > 0 {
			s = s[e:]
			continue
		}

		_, size := utf8.DecodeRuneInString(s)
		s, n = s[size:], n+1
	}

	return n
}

// escape returns the length of the colour's escape sequence at the start of a
// text, or 0.
func escape(s string) int {
	rest, ok := strings.CutPrefix(s, "\x1b[")
	if !ok {
		return 0
	}

	rest = strings.TrimLeft(rest, "0123456789;")
	if !strings.HasPrefix(rest, "m") {
		return 0
	}

	return len(s) - len(rest) + 1
}
