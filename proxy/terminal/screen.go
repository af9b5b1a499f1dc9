package terminal

import (
	"io"
	"os"
)

// narrowest is the smallest width that lines are folded to. On a narrower
// terminal lines keep this width, because shorter ones are hard to read.
const narrowest = 40

// Screen is a terminal. A nil Screen is an output that is not a terminal: it
// has no width and no colours.
type Screen struct {
	file  *os.File
	plain bool
}

// Of returns the terminal that w writes to, or nil if w is not a terminal.
// plain turns colours off.
func Of(w io.Writer, plain bool) *Screen {
	f, ok := w.(*os.File)
	if !ok {
		return nil
	}
	if _, ok := columns(f); !ok {
		return nil
	}

	return &Screen{file: f, plain: plain}
}

// Width returns the current width of the terminal in columns. It is 0 if there
// is no terminal, or if its width is unknown.
func (s *Screen) Width() int {
	if s == nil {
		return 0
	}

	n, _ := columns(s.file)
	if n == 0 {
		return 0
	}

	return max(n, narrowest)
}

// Colours reports whether text may have colours.
func (s *Screen) Colours() bool { return s != nil && !s.plain }
