package cache

import (
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// varyNames returns the field names in the lines of Vary, in canonical form and
// each once. ok is false for "*", which no request matches (RFC 9111 section
// 4.1), and for a text that is not a field name.
func varyNames(lines []string) (names []string, ok bool) {
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			element = wire.TrimBlanks(element)
			if element == "" {
				continue
			}
			if element == "*" || !wire.IsToken(element) || len(names) == mostVary {
				return nil, false
			}
			if name := textproto.CanonicalMIMEHeaderKey(element); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names, true
}

// mostVary is the number of names that a Vary may have. Each costs every
// request a comparison.
const mostVary = 16

// view is the fields of a request as the service gets them: the client's, and
// those that replace them.
type view struct {
	header http.Header
	said   []wire.Field
	coding wire.Coding // that the client gets if Pillion compresses
	one    [1]string
}

// plain is the view of a client that gets nothing compressed.
func (v *view) plain() view {
	return view{header: v.header, said: v.said, coding: wire.Identity}
}

// ourCoding stands for the coding that Pillion chose. No field can have this
// name. A compressed answer depends on that coding, and not on every difference
// in Accept-Encoding.
const ourCoding = ":coding"

// coded returns the names for an answer that Pillion may have compressed.
// Accept-Encoding itself is kept only if the service named it.
func coded(names []string, c wire.Coded) []string {
	switch c {
	case wire.CodedHere:
		names = slices.DeleteFunc(names, func(name string) bool { return name == "Accept-Encoding" })
		return append(names, ourCoding)
	case wire.CodedToo:
		return append(names, ourCoding)
	}
	return names
}

// get returns the lines of a field, valid until the next get.
func (v *view) get(name string) []string {
	if name == ourCoding {
		v.one[0] = v.coding.String()
		return v.one[:]
	}
	for i := range v.said {
		if v.said[i].Name == name {
			v.one[0] = v.said[i].Value
			return v.one[:]
		}
	}
	return v.header[name]
}

// choice returns the values by which an answer was chosen, in the order of its
// names.
func choice(names []string, v *view) []string {
	if len(names) == 0 {
		return nil
	}
	values := make([]string, len(names))
	for i, name := range names {
		values[i] = strings.Clone(normal(name, v.get(name)))
	}
	return values
}

// chosen reports whether a request has the values by which an answer was
// chosen.
func chosen(names, values []string, v *view) bool {
	for i, name := range names {
		if normal(name, v.get(name)) != values[i] {
			return false
		}
	}
	return true
}

// absent stands for the value of a field that a request does not have. No field
// can have this value.
const absent = "\x00"

// normal returns a field's value in a normal form, which is equal for values
// with equal meaning (RFC 9111 section 4.1). It does not allocate for the usual
// values.
func normal(name string, lines []string) string {
	switch {
	case name == "Accept-Encoding":
		return codings(lines)
	case len(lines) == 0:
		return absent
	case name == "Accept-Language":
		return languages(lines)
	case len(lines) == 1 && isNormal(lines[0]):
		return lines[0]
	}
	return combined(lines)
}

// isNormal reports whether a value has no blanks that combined would remove.
func isNormal(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] == '\t' || s[i] == '"' ||
			s[i] == ' ' && (i == 0 || i == len(s)-1 || s[i-1] == ',' || s[i+1] == ',') {
			return false
		}
	}
	return true
}

// combined joins the lines of a field, and removes the blanks around its
// commas, except in quotes.
func combined(lines []string) string {
	var out strings.Builder
	line := lines[0]
	if len(lines) > 1 {
		line = strings.Join(lines, ",")
	}
	for {
		end := elementEnd(line)
		out.WriteString(wire.TrimBlanks(line[:end]))
		if end == len(line) {
			return out.String()
		}
		out.WriteByte(',')
		line = line[end+1:]
	}
}

// elementEnd returns the end of the first element of a list.
func elementEnd(line string) int {
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case ',':
			return i
		case '"':
			return unquoted(line, i+1)
		}
	}
	return len(line)
}

// The known content codings, as the bits of a set. A set is written as a string
// of one byte.
const (
	withGzip = 1 << iota
	withBrotli
	withZstd
	withDeflate
	withAny
	withoutIdentity
)

// codings reduces Accept-Encoding to the set of known codings that it accepts.
// Weights above 0 and the order are ignored, because the client can read each
// of these codings.
func codings(lines []string) string {
	a, set := wire.AcceptEncoding(lines), byte(0)
	for i, c := range [...]wire.Coding{wire.Gzip, wire.Brotli, wire.Zstd, wire.Deflate} {
		if a.Weight(c) > 0 {
			set |= 1 << i
		}
	}
	if a.Others() > 0 {
		set |= withAny
	}
	if a.Names(wire.Identity) && a.Weight(wire.Identity) == 0 {
		set |= withoutIdentity
	}
	return oneByte(set)
}

// knownCodings reports whether each content coding of an answer is one of those
// that codings tells apart. Of the clients with the same set, only some may be
// able to read another coding.
func knownCodings(lines []string) bool {
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			if name := wire.TrimBlanks(element); name != "" && !wire.KnowsCoding(name) {
				return false
			}
		}
	}
	return true
}

// oneByte returns a string of one byte below 0x80, without an allocation.
func oneByte(b byte) string { return string([]byte{b}) }

// mostLanguages is the number of ranges that are sorted. No browser sends more.
const mostLanguages = 32

// languages orders the ranges of Accept-Language by weight and then by name, in
// lower case. Neither case nor the order of equal weights has a meaning (RFC
// 9110 section 12.5.4).
func languages(lines []string) string {
	type language struct {
		name   string
		weight int
	}
	var all []language
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			name, parameters, _ := strings.Cut(element, ";")
			if len(all) == mostLanguages {
				return combined(lines)
			}
			if name = wire.TrimBlanks(name); name != "" {
				all = append(all, language{strings.ToLower(name), wire.Weight(parameters)})
			}
		}
	}
	slices.SortFunc(all, func(a, b language) int {
		if a.weight != b.weight {
			return b.weight - a.weight
		}
		return strings.Compare(a.name, b.name)
	})
	var out strings.Builder
	for _, l := range all {
		out.WriteString(l.name)
		out.WriteByte(';')
		out.WriteString(strconv.Itoa(l.weight))
		out.WriteByte(',')
	}
	return out.String()
}
