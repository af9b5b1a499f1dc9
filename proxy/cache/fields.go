package cache

import (
	"encoding/binary"
	"net/http"
	"slices"
	"strings"
	"time"
)

// packed are the fields of a stored answer in one piece of memory: for each
// line its name and its value, each behind its length. The lines of one name
// follow each other. Most answers are never asked for again. Their fields then
// need no map, and the garbage collector has one object to look at instead of
// several.
type packed []byte

// lengthSize is the size of a length.
const lengthSize = 4

// add appends one line.
func (p packed) add(name, value string) packed {
	for _, s := range [...]string{name, value} {
		p = append(binary.LittleEndian.AppendUint32(p, uint32(len(s))), s...)
	}
	return p
}

// unpack makes the map of the fields. All names and values are parts of one
// string.
func (p packed) unpack() http.Header {
	text, lines := string(p), 0
	for rest := text; rest != ""; lines++ {
		_, _, rest = cutLine(rest)
	}
	h, all := make(http.Header, lines), make([]string, 0, lines)
	from, last := 0, ""
	for text != "" {
		var name, value string
		if name, value, text = cutLine(text); name != last {
			from, last = len(all), name
		}
		all = append(all, value)
		h[last] = all[from:len(all):len(all)]
	}
	return h
}

// cutLine cuts the first line off packed fields.
func cutLine(text string) (name, value, rest string) {
	name, rest = cutText(text)
	value, rest = cutText(rest)
	return name, value, rest
}

func cutText(text string) (first, rest string) {
	n := int(text[0]) | int(text[1])<<8 | int(text[2])<<16 | int(text[3])<<24
	text = text[lengthSize:]
	return text[:n], text[n:]
}

// storable are the fields of an answer that may be stored (RFC 9111 section
// 3.1).
type storable struct {
	header  http.Header
	private string   // a field that is not stored
	named   []string // the fields that Connection names
	date    string   // that is added; "" for none
}

func storableOf(h http.Header, private string) storable {
	s := storable{header: h, private: private}
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			s.named = append(s.named, http.CanonicalHeaderKey(strings.Trim(name, " \t")))
		}
	}
	return s
}

// setDate adds the time at which a message came if it has no Date (RFC 9110
// section 6.6.1).
func (s *storable) setDate(came time.Time) {
	if s.header["Date"] == nil {
		s.date = came.UTC().Format(http.TimeFormat)
	}
}

// leavesOut reports whether a field is not stored.
func (s *storable) leavesOut(name string) bool {
	return connectionField(name) || name == s.private ||
		len(s.named) > 0 && slices.Contains(s.named, name)
}

// measure returns the size of the packed fields, and the memory that they take
// in all: packed, and as a map once they were asked for.
func (s *storable) measure() (size int, memory int64) {
	fields, lines := 0, 0
	for name, values := range s.header {
		if s.leavesOut(name) {
			continue
		}
		fields, lines = fields+1, lines+len(values)
		for _, v := range values {
			size += len(name) + len(v)
		}
	}
	if s.date != "" {
		fields, lines, size = fields+1, lines+1, size+len("Date")+len(s.date)
	}

	size += lines * 2 * lengthSize

	return size, int64(2*size + fields*mapSlot + lines*lineSize)
}

// What a field takes in a map, and a line in its list.
const (
	mapSlot  = 64
	lineSize = 16
)

// pack appends the fields to p. They share no memory with the message: also a
// name may be a part of the message's head, which would then stay in memory as
// a whole.
func (s *storable) pack(p packed) packed {
	for name, values := range s.header {
		if s.leavesOut(name) {
			continue
		}
		for _, v := range values {
			p = p.add(name, v)
		}
	}
	if s.date != "" {
		p = p.add("Date", s.date)
	}
	return p
}

// connectionField reports whether a field concerns a connection or a single
// hop, so that it is not stored.
func connectionField(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate",
		"Proxy-Authentication-Info",
		"Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Age":
		return true
	}
	return false
}
