package files

import "strings"

// wellKnown is the only hidden name that is served, and only at the beginning
// of a path (RFC 8615).
const wellKnown = ".well-known"

// asked is the file or directory that a path names.
type asked struct {
	name  string // relative to the directory; "." is the directory itself
	slash bool   // the path ended in "/", so only a directory is meant
}

// askedBy decodes a path once and returns the file or folder that it names. It
// returns false if a segment begins with a dot, or has an escaped character
// that would split it in the file system.
func askedBy(path string) (asked, bool) {
	slash := strings.HasSuffix(path, "/")
	if path != "" && path[0] != '/' {
		return asked{}, false
	}

	var parts []string
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" {
			continue // servers merge slashes
		}
		part, ok := decoded(segment)
		if !ok || strings.ContainsAny(part, "/\\\x00") {
			return asked{}, false
		}
		if part[0] == '.' && (len(parts) > 0 || part != wellKnown) {
			return asked{}, false
		}
		parts = append(parts, part)
	}

	if len(parts) == 0 {
		return asked{".", slash}, true
	}
	return asked{strings.Join(parts, "/"), slash}, true
}

// decoded returns a segment with its escapes decoded. It reports false for a
// "%" without two digits.
func decoded(segment string) (string, bool) {
	if !strings.Contains(segment, "%") {
		return segment, true
	}

	out := make([]byte, 0, len(segment))
	for i := 0; i < len(segment); i++ {
		c := segment[i]
		if c == '%' {
			if i+2 >= len(segment) {
				return "", false
			}
			high, low := hexValue(segment[i+1]), hexValue(segment[i+2])
			if high < 0 || low < 0 {
				return "", false
			}
			c = byte(high<<4 | low)
			i += 2
		}
		out = append(out, c)
	}
	return string(out), true
}

// hexValue returns the value of a hexadecimal digit, and -1 for anything else.
func hexValue(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
