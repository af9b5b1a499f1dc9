package route

import (
	"bytes"
	"strings"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// reading is a way in which a server may read a path: a set of leniencies.
type reading uint8

const (
	decodes    reading = 1 << iota // escaped delimiters are delimiters
	backslash                      // "\" is "/"
	parameters                     // ";…" at the end of a segment does not belong to it
	merges                         // "//" is "/"
	resolves                       // "." and ".." are resolved
)

// plain reports whether a byte of a path stands for itself (RFC 3986 section
// 3.3): pchar without "%", or "/". Any other byte must be escaped.
func plain(c byte) bool {
	return wire.Is(c, wire.InPath) || strings.IndexByte("!'()*;", c) >= 0
}

// unreserved reports whether a byte and its escape are equivalent (RFC 3986
// section 2.3). These are the bytes of host names.
func unreserved(c byte) bool { return wire.Is(c, wire.InHost) }

// normal appends the normal form of a path (RFC 3986 sections 6.2.2.1 and
// 6.2.2.2): escapes have upper-case digits, unreserved characters are not
// escaped, and characters that a path may not contain are. A "\" stays, because
// servers disagree about it.
func normal(to []byte, path string) []byte {
	usual := 0
	for usual < len(path) && wire.Is(path[usual], wire.InPath) {
		usual++
	}
	to = append(to, path[:usual]...)

	for i := usual; i < len(path); i++ {
		c := path[i]
		if plain(c) || c == '\\' {
			to = append(to, c)
			continue
		}

		if b, ok := escaped(path[i:]); ok {
			c, i = b, i+2
			if unreserved(c) {
				to = append(to, c)
				continue
			}
		}
		to = escape(to, c)
	}

	return to
}

func escape(to []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"

	return append(to, '%', digits[c>>4], digits[c&15])
}

// leniencies returns those that make a difference for a path in normal form.
func leniencies(path []byte) (r reading) {
	for i := bytes.IndexByte(path, '%'); i >= 0; {
		c := unhex(path[i+1])<<4 | unhex(path[i+2])
		if plain(c) || c == '\\' {
			r |= decodes
		}
		switch c {
		case '\\':
			r |= backslash
		case ';':
			r |= parameters
		}
		next := bytes.IndexByte(path[i+3:], '%')
		if next < 0 {
			break
		}
		i += 3 + next
	}

	if bytes.IndexByte(path, '\\') >= 0 {
		r |= backslash
	}
	if bytes.IndexByte(path, ';') >= 0 {
		r |= parameters
	}
	if r != 0 || bytes.Contains(path, []byte("//")) {
		r |= merges
	}
	if r != 0 || bytes.Contains(path, []byte("/.")) {
		r |= resolves
	}

	return r
}

// read appends the path that a server with some leniencies reads. The given
// path is in normal form.
func read(to, path []byte, r reading) []byte {
	to = append(to, '/')
	start := len(to) // of the segment in progress
	skip := false    // the rest of the segment is a parameter

	for i := 1; i < len(path); i++ {
		c, isEscaped := path[i], false
		if c == '%' {
			c, isEscaped = unhex(path[i+1])<<4|unhex(path[i+2]), true
			i += 2
		}
		if isEscaped && (r&decodes == 0 || !plain(c) && c != '\\') {
			if !skip {
				to = escape(to, c)
			}
			continue
		}

		switch {
		case c == '/' || c == '\\' && r&backslash != 0:
			to = closeSegment(to, start, r, false)
			start, skip = len(to), false
		case c == ';' && r&parameters != 0:
			skip = true
		case !skip:
			to = append(to, c)
		}
	}

	return closeSegment(to, start, r, true)
}

// closeSegment ends the segment that begins at start. The last one has no slash
// behind it.
func closeSegment(to []byte, start int, r reading, last bool) []byte {
	segment := to[start:]
	switch {
	case len(segment) == 0 && r&merges != 0:
		return to
	case string(segment) == "." && r&resolves != 0:
		return to[:start]
	case string(segment) == ".." && r&resolves != 0:
		to = to[:start]
		if len(to) > 1 {
			to = to[:bytes.LastIndexByte(to[:len(to)-1], '/')+1]
		}

		return to
	case last:
		return to
	}

	return append(to, '/')
}
