package h1

import (
	"errors"
	"net/http"
	"strings"
)

// maxFields is how many fields a head or a trailer section may have.
const maxFields = 256

// keepFields is the size over which a map is dropped instead of being reused: maps never shrink.
const keepFields = 64

// smallMap is how many fields fit in a map of one group, which is much the fastest to fill, read and clear.
const smallMap = 8

// refusal is why a message was refused, and the status that says so to a client.
type refusal struct {
	status int
	reason string
}

// Error is the reason.
func (r *refusal) Error() string { return r.reason }

func malformed(reason string) *refusal { return &refusal{http.StatusBadRequest, reason} }

// block is the fields of one head, with the memory behind them and what the framing and routing fields among them said.
// All strings are slices of the one string that was parsed. A block belongs to a connection and is reused.
type block struct {
	header http.Header
	values []string // what the map's slices are cut from
	seen   uint64   // a bit for each name in the map; several names may share one
	count  int

	hosts      int
	host       string
	lengths    int
	length     int64 // -1 without Content-Length
	codings    int
	chunked    bool
	close      bool
	keepAlive  bool
	upgrade    bool // Connection names Upgrade
	websocket  bool // Upgrade names websocket and nothing else
	expect     string
	idle       string // Keep-Alive
	trailers   []string
	trailerSet bool // it is a trailer section: no routing, no framing
}

// reset makes the block empty and ready for the next head, unless it is.
func (b *block) reset() {
	if b.count == 0 && b.header != nil && len(b.header) == 0 { // a handler may have put something there
		return
	}
	header, values, trailers := b.header, b.values, b.trailers
	if header == nil || len(header) > keepFields {
		header = make(http.Header, smallMap)
	} else {
		clear(header)
	}
	if cap(values) == 0 || cap(values) > 2*keepFields {
		values = make([]string, 0, 24)
	}
	clear(values)
	*b = block{header: header, values: values[:0], trailers: trailers[:0], length: -1}
}

// parse reads the field lines of s, which ends with the last line's CRLF: RFC 9112 section 5, without its leniencies.
func (b *block) parse(s string) *refusal {
	for s != "" {
		rest, err := b.line(s)
		if err != nil {
			return err
		}
		s = rest
	}
	return nil
}

// line takes one field line from s.
func (b *block) line(s string) (rest string, err *refusal) {
	i := strings.IndexByte(s, ':')
	if i <= 0 {
		return "", malformed("malformed field name")
	}
	key, k, known := spelled(s[:i])
	if !known && !isToken(s[:i]) {
		return "", malformed("malformed field name")
	}
	value := s[i+1:]
	end := strings.IndexByte(value, '\r')
	if end < 0 || end+1 >= len(value) || value[end+1] != '\n' || !isValue(value[:end]) {
		return "", malformed("malformed field value")
	}
	if b.count++; b.count > maxFields {
		return "", &refusal{http.StatusRequestHeaderFieldsTooLarge, "too many fields"}
	}
	return value[end+2:], b.add(key, k, trimBlanks(value[:end]))
}

// add files a field under its canonical name. Host, Transfer-Encoding and Trailer stay out of the map, as in net/http.
func (b *block) add(key string, k kind, value string) *refusal {
	if k != plain {
		if b.trailerSet {
			if k != date {
				return malformed("framing or routing field in trailers")
			}
		} else if err := b.meaning(k, value); err != nil {
			return err
		}
		if k == host || k == transferEncoding || k == trailer {
			return nil
		}
	}
	bit := uint64(1) << ((len(key) + 5*int(key[0]) + 3*int(key[len(key)-1])) % 64)
	if b.seen&bit == 0 { // as a rule: the map need not be asked
		b.seen |= bit
		b.file(key, value, nil)
		return nil
	}
	b.file(key, value, b.header[key])
	return nil
}

// file puts a value behind those that a name has already.
func (b *block) file(key, value string, before []string) {
	if before != nil {
		b.header[key] = append(before, value)
		return
	}
	n := len(b.values)
	b.values = append(b.values, value)
	b.header[key] = b.values[n : n+1 : n+1]
}

// meaning notes what a field says about the message itself.
func (b *block) meaning(k kind, value string) *refusal {
	switch k {
	case host:
		b.hosts++
		b.host = value
	case contentLength:
		if b.lengths++; b.lengths > 1 {
			return malformed("repeated Content-Length")
		}
		n, ok := parseLength(value)
		if !ok {
			return malformed("malformed Content-Length")
		}
		b.length = n
	case transferEncoding:
		if b.codings++; b.codings > 1 || !equalFold(value, "chunked") {
			return malformed("transfer coding other than one chunked")
		}
		b.chunked = true
	case connection:
		b.options(value)
	case upgrade:
		b.websocket = equalFold(value, "websocket")
	case expect:
		if b.expect != "" || value == "" {
			value = "repeated or empty"
		}
		b.expect = value
	case keepAlive:
		b.idle = value
	case trailer:
		return b.announce(value)
	}
	return nil
}

// options notes the connection options that we act on.
func (b *block) options(value string) {
	for option := range strings.SplitSeq(value, ",") {
		switch option = trimBlanks(option); {
		case equalFold(option, "close"):
			b.close = true
		case equalFold(option, "keep-alive"):
			b.keepAlive = true
		case equalFold(option, "upgrade"):
			b.upgrade = true
		}
	}
}

// announce notes which trailers are to come.
func (b *block) announce(value string) *refusal {
	for name := range strings.SplitSeq(value, ",") {
		if name = trimBlanks(name); name == "" {
			continue
		}
		key, k := canonical(name)
		if !isToken(name) || (k != plain && k != date) || len(b.trailers) == maxFields {
			return malformed("bad field announced as trailer")
		}
		b.trailers = append(b.trailers, key)
	}
	return nil
}

// trailer is the map of announced trailers, with no values yet; nil when none were.
func (b *block) trailer() http.Header {
	if len(b.trailers) == 0 || !b.chunked {
		return nil
	}
	t := make(http.Header, len(b.trailers))
	for _, name := range b.trailers {
		t[name] = nil
	}
	return t
}

// parseLength reads digits and nothing else: no sign, no list, no blanks (RFC 9110 section 8.6). 18 digits fit int64.
func parseLength(s string) (int64, bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	var n int64
	for i := 0; i < len(s); i++ {
		d := s[i] - '0'
		if d > 9 {
			return 0, false
		}
		n = n*10 + int64(d)
	}
	return n, true
}

var errBadField = errors.New("field that cannot be written")

// appendFields writes a field once for each value.
func appendFields(out []byte, name string, values []string) (_ []byte, err error) {
	if !isToken(name) {
		return out, errBadField
	}
	return appendValues(out, name, values)
}

// appendValues is appendFields for a name that is known to be good.
func appendValues(out []byte, name string, values []string) (_ []byte, err error) {
	for _, v := range values {
		if out, err = appendValue(out, name, v); err != nil {
			return out, err
		}
	}
	return out, nil
}

// appendValue fails when the value would not be understood as such.
func appendValue(out []byte, name, value string) ([]byte, error) {
	if !isValue(value) {
		return out, errBadField
	}
	out = append(out, name...)
	out = append(out, ": "...)
	out = append(out, trimBlanks(value)...)
	return append(out, "\r\n"...), nil
}
