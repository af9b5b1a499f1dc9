package telemetry

import (
	"strconv"
	"strings"

	"github.com/pillion-lb/pillion/proxy/terminal"
)

// On a terminal, a line has the time of day, five columns for the level or the
// status, and then the message. Lines are folded to the width of the terminal.

const (
	// screenClock is the format of the time of day on a terminal.
	screenClock = "15:04:05"
	// screenIndent is the indent of folded lines. They continue below the
	// message.
	screenIndent = len(screenClock) + 1 + 5 + 1
)

// clockOf returns the format of the time of day for an output.
func clockOf(s *terminal.Screen) string {
	if s != nil {
		return screenClock
	}

	return clock
}

// appendScreen appends the line for a terminal. Failed attempts and the error
// follow on separate lines.
func (l *AccessLine) appendScreen(b []byte, screen *terminal.Screen) []byte {
	width := screen.Width()
	var head []byte
	head = l.Time.Local().AppendFormat(head, screenClock)
	head = append(head, ' ')
	status := strconv.Itoa(l.Status)
	head = screen.Append(head, terminal.OfStatus(l.Status), (status + "     ")[:max(5, len(status))])
	head = append(head, ' ')
	head = appendPlain(head, l.Method, longestMethod)
	head = append(head, ' ')
	head = append(head, terminal.Cut(l.place(), width/2)...)
	if l.Backend != "" {
		head = append(head, "  "...)
		head = appendPlain(head, l.Backend, longestName)
	}
	head = append(head, "  "...)
	head = append(head, shortDuration(l.Latency)...)
	head = screen.Append(head, terminal.Faint, l.aside())
	b = append(b, terminal.Fold(string(head), width, screenIndent)...)

	for _, t := range l.Tried {
		b = appendBelow(b, screen, "tried "+t[0]+": "+t[1])
	}
	if l.Error != "" {
		b = appendBelow(b, screen, l.Ended+": "+l.Error)
	}

	return append(b, '\n')
}

// place returns the URL without its scheme. It also omits the host if that is
// this machine.
func (l *AccessLine) place() string {
	url := string(appendPlain(nil, l.URL, longestURL))
	_, rest, ok := strings.Cut(url, "://")
	if !ok {
		return url
	}
	path := strings.IndexByte(rest, '/')
	if path >= 0 && (strings.HasPrefix(rest, "localhost") || strings.HasPrefix(rest, "127.")) {
		return rest[path:]
	}

	return rest
}

// aside returns further attributes of the request, except those with their
// usual values.
func (l *AccessLine) aside() string {
	var b []byte
	if l.Pick != "" {
		b = append(append(b, "  "...), l.Pick...)
	}
	b = appendPair(b, "cookie", l.Cookie, longestName)
	b = appendPair(b, "cache", l.Cache, longestName)
	if l.Access != "allowed" {
		b = appendPair(b, "access", l.Access, longestName)
	}
	if l.Error == "" {
		b = appendPair(b, "ended", l.Ended, longestName)
	}
	if l.Status >= 400 && !l.TraceID.IsValid() {
		b = appendPair(b, "request_id", l.RequestID, longestName) // error pages ask clients to quote it
	}

	return string(b)
}

// appendBelow appends a line about a failure, below that of its request.
func appendBelow(b []byte, screen *terminal.Screen, text string) []byte {
	b = append(b, '\n')
	line := strings.Repeat(" ", screenIndent) + string(screen.Append(nil, terminal.Red,
		string(appendPlain(nil, text, longestText))))

	return append(b, terminal.Fold(line, screen.Width(), screenIndent+2)...)
}
