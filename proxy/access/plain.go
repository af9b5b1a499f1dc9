package access

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// Plain reports whether every server finds the same segments in a path. A path
// is not plain if it has
//
//   - an empty segment that is not the last one, or a segment of dots and
//     blanks,
//   - a ";", which begins a parameter for some servers, or a "\",
//   - an escape of a delimiter, a dot, a "%" or a control character, because
//     some servers decode a path before they split it, and some decode it
//     twice,
//   - an escaped Unicode character that is not a letter, mark or digit, because
//     compatibility forms of "/" and "." are among them.
func Plain(path string) bool {
	if path == "" || path[0] != '/' {
		return false
	}
	for rest := path[1:]; ; {
		segment, next, more := strings.Cut(rest, "/")
		if segment == "" && more || !plainSegment(segment) {
			return false
		}
		if rest = next; !more {
			return true
		}
	}
}

// plainSegment reports whether every server reads a segment in the same way.
func plainSegment(segment string) bool {
	onlyDots, dots := segment != "", false
	for i := 0; i < len(segment); i++ {
		c := segment[i]
		switch {
		case c == '%':
			size := plainEscape(segment[i:])
			if size == 0 {
				return false
			}
			// Some servers remove trailing blanks, and so read "..%20" as "..".
			escape := segment[i : i+size]
			onlyDots = onlyDots && (escape == "%20" || strings.EqualFold(escape, "%2b"))
			dots = dots || onlyDots
			i += size - 1
		case c == '+': // which is a blank in forms, and for servers that read a path as one
		case c == ';' || !wire.Is(c, wire.InPath) && strings.IndexByte("!'()*", c) < 0:
			return false
		default:
			onlyDots = onlyDots && c == '.'
			dots = dots || onlyDots
		}
	}

	return !onlyDots || !dots
}

// plainEscape returns the length of the escapes at the beginning of s that form
// one character, or 0 if that character is not plain.
func plainEscape(s string) int {
	c, ok := unescape(s)
	switch {
	case !ok:
		return 0
	case c < utf8.RuneSelf:
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if letter || '0' <= c && c <= '9' || strings.IndexByte(` -_~!$&'()*+,=:@"<>^{|}[]`+"`", c) >= 0 {
			return 3
		}
		return 0
	}

	var encoded [utf8.UTFMax]byte
	n := 0
	for n < len(encoded) {
		c, ok := unescape(s[min(3*n, len(s)):])
		if !ok {
			break
		}
		encoded[n] = c
		n++
	}
	r, size := utf8.DecodeRune(encoded[:n])
	if r == utf8.RuneError || !unicode.In(r, unicode.L, unicode.M, unicode.Nd) {
		return 0
	}

	return 3 * size
}

// unescape reads the escape of one byte at the beginning of s.
func unescape(s string) (byte, bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	high, low := hex(s[1]), hex(s[2])

	return high<<4 | low, high|low < 16
}

// hex returns the value of a hexadecimal digit, and more than 15 for another
// byte.
func hex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}

	return 0xff
}
