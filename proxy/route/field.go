package route

import (
	"net/http"
	"slices"
	"strings"
)

// kind is the part of a request that a field condition tests.
type kind uint8

const (
	header kind = iota
	cookie
	query
)

var kindNames = [...]string{header: "header.", cookie: "cookie.", query: "query."}

// field is the condition that a header field, a cookie or a query parameter is
// present, or has one of some values.
type field struct {
	kind  kind
	name  string   // of a header field in its canonical form
	words []string // nil: any value
}

// String returns the condition as a user would write it.
func (f field) String() string {
	name := f.name
	if f.kind == header {
		name = strings.ToLower(name)
	}
	if f.words == nil {
		return kindNames[f.kind] + name
	}

	return kindNames[f.kind] + name + "=" + joinWords(f.words)
}

// holds reports whether a request meets the condition.
func (f *field) holds(q *Request) bool {
	switch f.kind {
	case header:
		return f.holdsHeader(q.Header[f.name])
	case cookie:
		return f.holdsCookie(q.Header["Cookie"])
	}
	value, found := parameter(q.Query, f.name)

	return found && (f.words == nil || slices.ContainsFunc(f.words, func(w string) bool {
		return equalDecoded(value, w)
	}))
}

func (f *field) holdsHeader(lines []string) bool {
	if f.words == nil {
		return len(lines) > 0
	}
	for _, line := range lines {
		if slices.Contains(f.words, strings.Trim(line, " \t")) {
			return true
		}
	}

	return false
}

func (f *field) holdsCookie(lines []string) bool {
	for _, line := range lines {
		for rest, more := line, true; more; {
			var pair string
			pair, rest, more = strings.Cut(rest, ";")
			name, value, ok := strings.Cut(pair, "=")
			if !ok || strings.Trim(name, " \t") != f.name {
				continue
			}
			if f.words == nil || slices.Contains(f.words, strings.Trim(value, " \t")) {
				return true
			}
		}
	}

	return false
}

// cookieValue returns the value of the first cookie called name.
func cookieValue(h http.Header, name string) (value string, found bool) {
	for _, line := range h["Cookie"] {
		for rest, more := line, true; more; {
			var pair string
			pair, rest, more = strings.Cut(rest, ";")
			key, value, ok := strings.Cut(pair, "=")
			if ok && strings.Trim(key, " \t") == name {
				return strings.Trim(value, " \t"), true
			}
		}
	}

	return "", false
}

// parameter returns the first value of a query parameter, still encoded.
func parameter(query, name string) (value string, found bool) {
	for rest, more := query, query != ""; more; {
		var pair string
		pair, rest, more = strings.Cut(rest, "&")
		key, value, _ := strings.Cut(pair, "=")
		if pair != "" && equalDecoded(key, name) {
			return value, true
		}
	}

	return "", false
}

// equalDecoded reports whether an encoded part of a query stands for plain, in
// the encoding of HTML forms, where "+" is a blank. A "%" without two digits
// stands for itself.
func equalDecoded(encoded, plain string) bool {
	for len(encoded) > 0 {
		if plain == "" {
			return false
		}

		c, width := encoded[0], 1
		if c == '+' {
			c = ' '
		} else if b, ok := escaped(encoded); ok {
			c, width = b, 3
		}
		if c != plain[0] {
			return false
		}
		encoded, plain = encoded[width:], plain[1:]
	}

	return plain == ""
}

// escaped returns the byte for an escape at the beginning of s.
func escaped(s string) (byte, bool) {
	if len(s) < 3 || s[0] != '%' || unhex(s[1]) > 15 || unhex(s[2]) > 15 {
		return 0, false
	}

	return unhex(s[1])<<4 | unhex(s[2]), true
}

// unhex returns the value of a hexadecimal digit, and more than 15 for other
// bytes.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}

	return 255
}

// joinWords returns words as a user would write them.
func joinWords(words []string) string {
	literal := strings.NewReplacer("%", "%25", "|", "%7C", "&", "%26", ";", "%3B", ",", "%2C")
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteByte('|')
		}
		b.WriteString(literal.Replace(w))
	}

	return b.String()
}
