package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// The longest durations: of what a request or a start can wait for, and of what a session can last.
const (
	day  = 24 * time.Hour
	year = 365 * day
)

// duration takes Go's durations from least to most. A least of one nanosecond is "more than 0".
func duration(least, most time.Duration) form {
	accepted := fmt.Sprintf("a duration such as 1.5s or 2m, from %s to %s", short(least), short(most))
	if least == time.Nanosecond {
		accepted = fmt.Sprintf("a duration such as 1.5s or 2m, more than 0 and up to %s", short(most))
	}
	return form{accepted, func(given string) (string, error) {
		d, err := time.ParseDuration(given)
		switch {
		case err != nil && isNumber(given):
			return "", fmt.Errorf("needs a unit: '%ss'", clip(given))
		case err != nil:
			return "", errors.New("is not a duration")
		case d < least || d > most:
			return "", errors.New("is out of range")
		}
		return d.String(), nil
	}}
}

// short writes a duration as a user would: 24h, not 24h0m0s.
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

// isNumber reports whether s is written in digits with at most one point.
func isNumber(s string) bool {
	return strings.Trim(s, "0123456789.") == "" && strings.Trim(s, ".") != "" && strings.Count(s, ".") <= 1
}

// size takes bytes in binary units.
func size(least, most int64) form {
	accepted := fmt.Sprintf("a size such as 64KiB or 1MiB, from %s to %s", binary(least), binary(most))
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

// unit cuts the unit off a size and returns it as a power of two. No unit is bytes.
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
	default:
		return "", 0, errors.New("has an unknown unit: use B, KiB, MiB or GiB")
	}
	return strings.TrimRight(number, " "), shift, nil
}

// binary writes a number of bytes in the largest unit that divides it.
func binary(n int64) string {
	for shift, name := 30, "GiB"; shift > 0; shift -= 10 {
		if n != 0 && n&(1<<shift-1) == 0 {
			return strconv.FormatInt(n>>shift, 10) + name
		}
		name = map[string]string{"GiB": "MiB", "MiB": "KiB"}[name]
	}
	return strconv.FormatInt(n, 10) + "B"
}

// share takes a percentage from 0 to 100. A bare 0 needs no sign.
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
		case !hasSign && percent > 0 && percent < 1: // who writes 0.7 means 70%
			return "", fmt.Errorf("needs a percent sign: '%s%%'", strconv.FormatFloat(percent*100, 'g', 6, 64))
		case !hasSign && percent != 0:
			return "", fmt.Errorf("needs a percent sign: '%s%%'", clip(number))
		}
		return strconv.FormatFloat(percent/100, 'g', -1, 64), nil
	}}
}

// ratio takes a number from 0 to 1, as the OpenTelemetry specification writes shares.
func ratio() form {
	return form{"a number from 0 to 1", func(given string) (string, error) {
		f, err := strconv.ParseFloat(given, 64)
		if err != nil || math.IsNaN(f) || f < 0 || f > 1 {
			return "", errors.New("is not a number from 0 to 1")
		}
		return strconv.FormatFloat(f, 'g', -1, 64), nil
	}}
}

// count takes a whole decimal number from least to most; 010 is ten.
func count(least, most int) form {
	return form{fmt.Sprintf("a whole number from %d to %d", least, most), func(given string) (string, error) {
		n, ok := digits(strings.TrimPrefix(given, "-"))
		if !ok {
			return "", errors.New("is not a whole number")
		}
		if strings.HasPrefix(given, "-") || n < least || n > most {
			return "", errors.New("is out of range")
		}
		return strconv.Itoa(n), nil
	}}
}
