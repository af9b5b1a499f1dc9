package terminal

// Colour is the parameter of an SGR escape sequence (ECMA-48 section 8.3.117).
// Every terminal has the colours below.
type Colour string

// The colours and their meanings in Pillion's output.
const (
	Plain  Colour = ""
	Red    Colour = "31" // failed
	Green  Colour = "32" // success
	Yellow Colour = "33" // the client's fault, or a warning
	Cyan   Colour = "36" // a redirect
	Faint  Colour = "2"  // of less interest
)

const reset = "\x1b[0m"

// Append appends a text to b. It is in the colour if the terminal shows
// colours.
func (s *Screen) Append(b []byte, c Colour, text string) []byte {
	if !s.Colours() || c == Plain {
		return append(b, text...)
	}

	b = append(b, "\x1b["...)
	b = append(b, c...)
	b = append(b, 'm')
	b = append(b, text...)

	return append(b, reset...)
}

// OfStatus returns the colour for an HTTP status.
func OfStatus(status int) Colour {
	switch {
	case status >= 500:
		return Red
	case status >= 400:
		return Yellow
	case status >= 300:
		return Cyan
	}

	return Green
}
