package rules

import "strings"

// Rest returns the part of a path after prefix. prefix is the path of the
// route's item without its "/*", or the whole path of an exact item. The caller
// knows that the path begins with prefix, by whole segments.
func Rest(path, prefix string) string {
	segments := strings.Count(prefix, "/")
	for i := range len(path) {
		if path[i] != '/' {
			continue
		}
		if segments == 0 {
			return path[i:]
		}
		segments--
	}
	return ""
}

// climbs reports whether a rest has dot segments that lead out of it. It reads
// the rest like the most lenient server: decoded once, with backslashes as
// slashes, without parameters after ";", and with slashes merged.
func climbs(rest string) bool {
	if !strings.Contains(rest, ".") && !strings.Contains(rest, "%") {
		return false
	}

	depth := 0
	segments := strings.FieldsFunc(decoded(rest), func(c rune) bool { return c == '/' || c == '\\' })
	for _, segment := range segments {
		switch segment, _, _ = strings.Cut(segment, ";"); segment {
		case "", ".":
		case "..":
			depth--
		default:
			depth++
		}
		if depth < 0 {
			return true
		}
	}
	return false
}

// decoded returns a path with its escapes decoded once. Anything that is not an
// escape stays.
func decoded(path string) string {
	if !strings.Contains(path, "%") {
		return path
	}

	out := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) {
			high, low := hexValue(path[i+1]), hexValue(path[i+2])
			if high >= 0 && low >= 0 {
				out = append(out, byte(high<<4|low))
				i += 2
				continue
			}
		}
		out = append(out, path[i])
	}
	return string(out)
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
