package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// The longest durations: for waits of a request or of the start, and for
// sessions.
const (
	day  = 24 * time.Hour
	year = 365 * day
)

// duration is the form of Go's durations from least to most. With a least of
// one nanosecond, it describes itself as "more than 0".
func duration(least, most time.Duration) form {
	accepted := fmt.Sprintf("a duration such as 1.5s or 2m, from %s to %s", short(least),
		short(most))
	if least == time.Nanosecond {
		accepted = fmt.Sprintf("a duration such as 1.5s or 2m, more than 0 and up to %s",
			short(most))
	}

	return form{accepted, func(given string) (string, error) {
		d, err := time.ParseDuration(given)
		switch {
		case err != nil && isNumber(given):
			return "", fmt.Errorf("needs a unit: '%ss'", clip(given))
		case isDays(given):
			days, _ := strconv.Atoi(given[:len(given)-1])
			return "", fmt.Errorf("is not a duration: the largest unit is h, '%dh'", 24*days)
		case least > 0 && (isNone(given) || d == 0 && err == nil):
			return "", fmt.Errorf("cannot be off; the longest is %s", short(most))
		case err != nil:
			return "", errors.New("is not a duration")
		case d < least || d > most:
			return "", errors.New("is out of range")
		}

		return d.String(), nil
	}}
}

// isDays reports whether given is a number of days, which Go's durations don't
// have.
func isDays(given string) bool {
	number, ok := strings.CutSuffix(given, "d")
	n, isCount := digits(number)

	return ok && isCount && n < 100_000
}

// short returns a duration as a user would write it: 24h, not 24h0m0s.
func short(d time.Duration) string {
	if d == 0 {
		return "0"
	}

	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}

	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}

	return s
}

// isNumber reports whether s consists of digits with at most one point.
func isNumber(s string) bool {
	return strings.Trim(s, "0123456789.") == "" && strings.Trim(s, ".") != "" &&
		strings.Count(s, ".") <= 1
}

// size is the form of bytes in binary units.
func size(least, most int64) form {
	accepted := fmt.Sprintf("a size such as 64KiB or 1MiB, from %s to %s", binary(least),
		binary(most))
	return form{accepted, func(given string) (string, error) {
		number, shift, err := unit(given)
		if err != nil {
			return "", err
		}

		n, ok := digits(number)
		if !ok {
			return "", errors.New("is not a size")
		}

		if int64(n) > most>>shift || int64(n)<<shift < least {
			return "", errors.New("is out of range")
		}

		return strconv.FormatInt(int64(n)<<shift, 10), nil
	}}
}

// unit separates the unit of a size, and returns it as a power of two. Without
// a unit, the number is bytes.
func unit(given string) (number string, shift uint, err error) {
	number = strings.TrimRight(given, "BGKMbgikm")
	switch strings.ToLower(given[len(number):]) {
	case "", "b":
		shift = 0
	case "kib":
		shift = 10
	case "mib":
		shift = 20
	case "gib":
		shift = 30
	case "k", "kb", "m", "mb", "g", "gb":
		return "", 0, fmt.Errorf("has an unknown unit: write '%s%ciB'", clip(strings.TrimSpace(number)),
			strings.ToUpper(given[len(number):])[0])
	default:
		return "", 0, errors.New("has an unknown unit: use B, KiB, MiB or GiB")
	}

	return strings.TrimRight(number, " "), shift, nil
}

// binary returns a number of bytes in the largest unit that divides it.
func binary(n int64) string {
	for shift, name := 30, "GiB"; shift > 0; shift -= 10 {
		if n != 0 && n&(1<<shift-1) == 0 {
			return strconv.FormatInt(n>>shift, 10) + name
		}

		name = map[string]string{"GiB": "MiB", "MiB": "KiB"}[name]
	}

	return strconv.FormatInt(n, 10) + "B"
}

// share is the form of a percentage from 0 to 100. 0 needs no sign.
func share() form {
	return form{"a share from 0% to 100%", func(given string) (string, error) {
		number, hasSign := strings.CutSuffix(given, "%")
		number = strings.TrimRight(number, " ")
		if !isNumber(number) {
			return "", errors.New("is not a share")
		}

		percent, err := strconv.ParseFloat(number, 64)
		if err != nil || percent > 100 {
			return "", errors.New("is out of range")
		}

		switch {
		case !hasSign && percent > 0 && percent < 1: // 0.7 probably stands for 70%
			return "", fmt.Errorf("needs a percent sign: '%s%%'",
				strconv.FormatFloat(percent*100, 'g', 6, 64))
		case !hasSign && percent != 0:
			return "", fmt.Errorf("needs a percent sign: '%s%%'", clip(number))
		}

		return strconv.FormatFloat(percent/100, 'g', -1, 64), nil
	}}
}

// ratio is the form of a number from 0 to 1, in which the OpenTelemetry
// specification writes shares.
func ratio() form {
	return form{"a number from 0 to 1", func(given string) (string, error) {
		f, err := strconv.ParseFloat(given, 64)
		if err != nil || math.IsNaN(f) || f < 0 || f > 1 {
			return "", errors.New("is not a number from 0 to 1")
		}

		return strconv.FormatFloat(f, 'g', -1, 64), nil
	}}
}

// count is the form of a whole decimal number from least to most; 010 is ten.
func count(least, most int) form {
	return form{fmt.Sprintf("a whole number from %d to %d", least, most),
		func(given string) (string, error) {
			n, ok := digits(strings.TrimPrefix(given, "-"))
			if rest, colon := strings.CutPrefix(given, ":"); !ok && colon {
				return "", fmt.Errorf("is not a whole number: leave out the colon, '%s'", clip(rest))
			}
			if !ok {
				return "", errors.New("is not a whole number")
			}

			if strings.HasPrefix(given, "-") || n < least || n > most {
				return "", errors.New("is out of range")
			}

			return strconv.Itoa(n), nil
		}}
}
