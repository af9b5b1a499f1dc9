package access

import (
	"bytes"
	"unicode/utf8"
)

// reading is a way in which a server may read a decoded path: a set of
// leniencies.
type reading uint8

const (
	backslash  reading = 1 << iota // "\" is "/"
	parameters                     // ";…" at the end of a segment does not belong to it
	merges                         // "//" is "/"
	resolves                       // "." and ".." are resolved, final blanks of segments removed
	cuts                           // NUL, "?" and "#" end the path
	authority                      // "//host/x" is "/x", as in a reference (RFC 3986 section 4.2)
)

// mostDecoding is how often a path is decoded, because several servers behind
// each other may each decode it.
const mostDecoding = 3

// leniencies returns those that make a difference for a path.
func leniencies(path []byte) (r reading) {
	slashes := false
	for i, c := range path {
		switch c {
		case '\\':
			r |= backslash
		case ';':
			r |= parameters
		case 0, '?', '#':
			r |= cuts
		case ' ', '\t':
			r |= resolves
		case '.':
			if i > 0 && (path[i-1] == '/' || path[i-1] == '\\') {
				r |= resolves
			}
		case '/':
			slashes = slashes || i > 0 && path[i-1] == '/'
		}
	}
	if slashes || r != 0 {
		r |= merges
	}
	if isSlash(path, 1) {
		r |= authority
	}

	return r
}

// read appends a path as a lenient server would read it, in lower case and
// without slashes at its end. r selects in what the server is lenient.
func read(to, path []byte, r reading) []byte {
	if r&authority != 0 && isSlash(path, 1) {
		end := 2
		for end < len(path) && !isSlash(path, end) {
			end++
		}
		path = path[min(end, len(path)-1):]
	}
	to = append(to, '/')
	start := len(to) // of the segment in progress
	skip := false    // the rest of the segment is a parameter
	for _, c := range path[1:] {
		switch {
		case c == '/' || c == '\\' && r&backslash != 0:
			to = closeSegment(to, start, r, false)
			start, skip = len(to), false
			continue
		case r&cuts != 0 && (c == 0 || c == '?' || c == '#'):
			return trimSlashes(closeSegment(to, start, r, true))
		case c == ';' && r&parameters != 0:
			skip = true
		}
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if !skip {
			to = append(to, c)
		}
	}

	return trimSlashes(closeSegment(to, start, r, true))
}

// closeSegment ends the segment that begins at start. The last one has no slash
// behind it.
func closeSegment(to []byte, start int, r reading, last bool) []byte {
	if r&resolves != 0 {
		for len(to) > start && (to[len(to)-1] == ' ' || to[len(to)-1] == '\t') {
			to = to[:len(to)-1]
		}
	}
	segment := to[start:]
	switch {
	case len(segment) == 0 && r&merges != 0:
		return to
	case string(segment) == "." && r&resolves != 0:
		return to[:start]
	case string(segment) == ".." && r&resolves != 0:
		if to = to[:start]; len(to) > 1 {
			to = to[:bytes.LastIndexByte(to[:len(to)-1], '/')+1]
		}
		return to
	case last:
		return to
	}

	return append(to, '/')
}

// isSlash reports whether a path has a slash of any kind at i.
func isSlash(path []byte, i int) bool {
	return i < len(path) && (path[i] == '/' || path[i] == '\\')
}

func trimSlashes(path []byte) []byte {
	for len(path) > 1 && path[len(path)-1] == '/' {
		path = path[:len(path)-1]
	}

	return path
}

// decode decodes every escape of a path in place, and reports whether there was
// one. It also decodes forms that only some servers accept: %u002F, overlong
// UTF-8, and full-width ASCII, which compatibility normalization converts to
// ASCII.
func decode(path []byte) ([]byte, bool) {
	to, changed := path[:0], false
	for i := 0; i < len(path); {
		c, size := decodeByte(path[i:])
		to = append(to, c)
		i += size
		changed = changed || size > 1
	}

	return fold(to), changed
}

// decodeByte reads the byte or the escape at the beginning of a path.
func decodeByte(path []byte) (c byte, size int) {
	if path[0] != '%' {
		return path[0], 1
	}
	if len(path) >= 6 && path[1]|0x20 == 'u' {
		a, b, c, d := hex(path[2]), hex(path[3]), hex(path[4]), hex(path[5])
		wide := a == 15 && b == 15
		if a|b|c|d < 16 && (a == 0 && b == 0 || wide) {
			if c = c<<4 | d; wide {
				c += 0x20
			}
			return c, 6
		}
	}
	if len(path) >= 3 {
		if high, low := hex(path[1]), hex(path[2]); high|low < 16 {
			return high<<4 | low, 3
		}
	}

	return '%', 1
}

// fold converts overlong and full-width forms to ASCII, in place.
func fold(path []byte) []byte {
	to := path[:0]
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch {
		case c < utf8.RuneSelf:
		case (c == 0xc0 || c == 0xc1) && i+1 < len(path):
			c = c<<6 | path[i+1]&0x3f
			i++
		default:
			if r, size := utf8.DecodeRune(path[i:]); '\uff01' <= r && r <= '\uff5e' {
				c = byte(r - '\uff01' + '!')
				i += size - 1
			}
		}
		to = append(to, c)
	}

	return to
}
