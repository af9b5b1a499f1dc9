package h1

import (
	"strings"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// recall is what a block remembers of the last head that it read. Clients and
// backends repeat themselves: most lines of a head are, byte for byte, lines of
// the head before. Such a line is compared instead of parsed.
//
// A block serves many clients in turn. So only where the name and the value are
// in the line is taken from here. The value itself is a part of the new head,
// and what it means for the message is asked anew.
type recall struct {
	head  string // empty if nothing is remembered
	lines []fieldLine
	spare []fieldLine // memory for the lines of the next head
}

// fieldLine says where the parts of a valid field line are. Its places are byte
// offsets in the line.
type fieldLine struct {
	key   string // the canonical name, or empty if the line has it in that spelling
	start uint32 // of the line, in the head
	size  uint32 // with the CRLF
	name  uint32 // the end of the name
	value uint32 // the value, without the blanks around it
	end   uint32
	kind  kind
}

// What is remembered is small, because idle connections to backends keep it.
const (
	maxRecall      = 2 << 10 // bytes of a head
	maxRecallLines = 32
)

// text is string(head). If the head is the last one again, it needs no
// allocation.
func (r *recall) text(head []byte) string {
	if string(head) == r.head {
		return r.head
	}
	return string(head)
}

// find returns a line of the last head with which s begins. It looks at the
// line with number next, and at the one behind it, because the new head may
// lack a line.
func (r *recall) find(s string, next int) (l *fieldLine, at int) {
	for at = next; at < len(r.lines) && at <= next+1; at++ {
		l = &r.lines[at]
		end := l.start + l.size
		if len(s) >= int(l.size) && s[:l.size] == r.head[l.start:end] {
			return l, at
		}
	}

	return nil, next
}

// note adds a line of a new head to those that keep will remember.
func (r *recall) note(l fieldLine) {
	if len(r.spare) <= maxRecallLines {
		r.spare = append(r.spare, l)
	}
}

// keep remembers the noted lines and their head instead of the last one. It
// remembers nothing of a head that is large.
func (r *recall) keep(head string) {
	r.lines, r.spare = r.spare, r.lines[:0]
	if r.head = head; len(head) > maxRecall || len(r.lines) > maxRecallLines {
		r.forget()
	}
}

func (r *recall) forget() { r.head, r.lines, r.spare = "", r.lines[:0], r.spare[:0] }

// parseLine reads the field line at the beginning of s.
func parseLine(s string) (l fieldLine, err *refusal) {
	i := strings.IndexByte(s, ':')
	if i <= 0 {
		return l, malformed("malformed field name")
	}

	key, k, known := spelled(s[:i])
	if !known && !wire.IsToken(s[:i]) {
		return l, malformed("malformed field name")
	}

	value := i + 1
	end := value + strings.IndexByte(s[value:], '\r')
	if end < value || end+1 >= len(s) || s[end+1] != '\n' || !wire.IsValue(s[value:end]) {
		return l, malformed("malformed field value")
	}

	l = fieldLine{size: uint32(end + 2), name: uint32(i), kind: k}
	if key != s[:i] {
		l.key = key
	}

	for value < end && blank(s[value]) {
		value++
	}
	for end > value && blank(s[end-1]) {
		end--
	}

	l.value, l.end = uint32(value), uint32(end)

	return l, nil
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// field returns what the line at the beginning of s has.
func (l *fieldLine) field(s string) (key string, k kind, value string) {
	if key = l.key; key == "" {
		key = s[:l.name]
	}
	return key, l.kind, s[l.value:l.end]
}
