package cache

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// parseDate reads the three forms of an HTTP date (RFC 9110 section 5.6.7), in
// upper or lower case. now decides the century of a year with two digits.
func parseDate(s string, now time.Time) (time.Time, bool) {
	if zone := len(s) - len(" GMT"); zone > 0 && strings.EqualFold(s[zone:], " GMT") {
		s = s[:zone]
		if len(s) == len("Sun, 06 Nov 1994 08:49:37") && s[3] == ',' {
			return parseExactly("Mon, 02 Jan 2006 15:04:05", s)
		}
		if comma := strings.IndexByte(s, ','); comma > 3 && len(s)-comma == len(", 06-Nov-94 08:49:37") {
			t, ok := parseExactly("Monday, 02-Jan-06 15:04:05", s)
			if ok && t.After(now.AddDate(50, 0, 0)) {
				t = t.AddDate(-100, 0, 0)
			}
			return t, ok
		}
		return time.Time{}, false
	}
	if len(s) == len("Sun Nov  6 08:49:37 1994") {
		return parseExactly("Mon Jan _2 15:04:05 2006", s)
	}
	return time.Time{}, false
}

func parseExactly(layout, s string) (time.Time, bool) {
	t, err := time.ParseInLocation(layout, s, time.UTC)
	return t, err == nil
}

// dates remembers the Date that was read last. Answers of the same second have
// the same.
type dates struct{ last atomic.Pointer[readDate] }

type readDate struct {
	text string
	at   time.Time
}

// of is dateOf.
func (d *dates) of(lines []string, now time.Time) (t time.Time, ok bool) {
	if last := d.last.Load(); last != nil && len(lines) == 1 && lines[0] == last.text {
		return last.at, true
	}
	t, ok = dateOf(lines, now)
	if ok && len(lines[0]) == len(http.TimeFormat) { // the other forms depend on now
		d.last.Store(&readDate{strings.Clone(lines[0]), t})
	}
	return t, ok
}

// dateOf returns the date in a field. It is not ok if the field has more than
// one line, or no valid date.
func dateOf(lines []string, now time.Time) (t time.Time, ok bool) {
	if len(lines) != 1 {
		return time.Time{}, false
	}
	return parseDate(lines[0], now)
}

// ageOf returns the Age of an answer. In a list, the first member counts. A
// value that is not a number is ignored (RFC 9111 section 5.1).
func ageOf(lines []string) time.Duration {
	if len(lines) == 0 {
		return 0
	}
	first, _, _ := strings.Cut(lines[0], ",")
	age, _ := seconds(strings.Trim(first, " \t"))
	return age
}
