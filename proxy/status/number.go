package status

import (
	"fmt"
	"strconv"
	"time"
)

// rate formats a number per second with two or three digits.
func rate(f float64) string {
	switch {
	case f >= 100 || f == 0:
		return strconv.FormatFloat(f, 'f', 0, 64)
	case f >= 10:
		return strconv.FormatFloat(f, 'f', 1, 64)
	}

	return strconv.FormatFloat(f, 'f', 2, 64)
}

// count formats a number without decimals.
func count(f float64) string { return strconv.FormatFloat(f, 'f', 0, 64) }

// percent returns a share of 0 to 1 as a percentage. The blank before the
// percent sign allows no line break.
func percent(share float64) string {
	switch {
	case share == 0:
		return "0\u00a0%"
	case share < 0.001:
		return "<\u00a00.1\u00a0%"
	case share < 0.1:
		return strconv.FormatFloat(100*share, 'f', 1, 64) + "\u00a0%"
	}

	return strconv.FormatFloat(100*share, 'f', 0, 64) + "\u00a0%"
}

// seconds formats a duration in seconds with two or three digits, and 0 as "–".
func seconds(s float64) string {
	switch {
	case s == 0:
		return "–"
	case s < 0.001:
		return fmt.Sprintf("%.0f µs", s*1e6)
	case s < 0.01:
		return fmt.Sprintf("%.1f ms", s*1e3)
	case s < 1:
		return fmt.Sprintf("%.0f ms", s*1e3)
	case s < 10:
		return fmt.Sprintf("%.1f s", s)
	}

	return fmt.Sprintf("%.0f s", s)
}

// age formats the time between then and now in whole seconds. It returns "" for
// the zero time.
func age(then, now time.Time) string {
	if then.IsZero() {
		return ""
	}

	return now.Sub(then).Round(time.Second).String()
}

// secondsAgo formats an age in seconds.
func secondsAgo(age float64) string {
	return time.Duration(age*float64(time.Second)).Round(time.Second).String() + " ago"
}

func lasting(since, now time.Time) string {
	if since.IsZero() {
		return ""
	}

	return "for " + age(since, now)
}

func ago(then, now time.Time) string {
	if then.IsZero() {
		return ""
	}

	return age(then, now) + " ago"
}
