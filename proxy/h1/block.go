package h1

import (
	"errors"
	"net/http"
	"strings"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// maxFields is the largest number of fields in a head or a trailer section.
const maxFields = 256

// keepFields is the size from which on a map is dropped instead of reused,
// because maps never shrink.
const keepFields = 64

// smallMap is the number of fields in a map of one group, which is much faster
// to fill, read and clear than a larger one.
const smallMap = 8

// refusal is why a message was refused, and the status for the client.
type refusal struct {
	status int
	reason string
}

// Error returns the reason.
func (r *refusal) Error() string { return r.reason }

func malformed(reason string) *refusal { return &refusal{http.StatusBadRequest, reason} }

// block holds the fields of one head, their memory, and what the framing and
// routing fields say. All strings are slices of the one string that was parsed.
// A block belongs to a connection and is reused.
type block struct {
	header http.Header
	values []string // the memory of the map's slices
	past   recall
	seen   uint64 // one bit per name in the map; names may share a bit
	count  int

	hosts     int
	host      string
	lengths   int
	length    int64 // -1 without Content-Length
	codings   int
	chunked   bool
	close     bool
	keepAlive bool
	upgrade   bool // Connection names Upgrade
	websocket bool // Upgrade is websocket and nothing else
	expect    string
	idle      string // Keep-Alive
	trailers  []string

	trailerSet bool // it is a trailer section: no routing, no framing
	response   bool // of a backend, which is read less strictly where nothing depends on it
	bodyless   bool // the message ends with its head, whatever its framing fields say
}

// reset empties the block for the next head.
func (b *block) reset() {
	// a handler may have added a field
	if b.count == 0 && b.header != nil && len(b.header) == 0 {
		return
	}

	header, values, trailers, past := b.header, b.values, b.trailers, b.past
	if header == nil || len(header) > keepFields {
		header = make(http.Header, smallMap)
	} else {
		clear(header)
	}

	if cap(values) == 0 || cap(values) > 2*keepFields {
		values = make([]string, 0, 24)
	}

	clear(values)
	*b = block{header: header, values: values[:0], trailers: trailers[:0], past: past, length: -1}
}

// parse reads the field lines with which a head ends. Each has its CRLF (RFC
// 9112 section 5). It allows no leniencies.
func (b *block) parse(head, fields string) *refusal {
	if b.past.head != "" && head == b.past.head {
		return b.repeat()
	}

	next := 0
	b.past.spare = b.past.spare[:0]
	for s := fields; s != ""; {
		var l fieldLine
		if past, at := b.past.find(s, next); past != nil {
			l, next = *past, at+1
		} else {
			var err *refusal
			if l, err = parseLine(s); err != nil {
				return err
			}
		}

		if err := b.add(l.field(s)); err != nil {
			return err
		}

		if l.start = uint32(len(head) - len(s)); !b.trailerSet {
			b.past.note(l)
		}
		s = s[l.size:]
	}

	if !b.trailerSet {
		b.past.keep(head)
	}

	return nil
}

// repeat adds the fields of the previous head again. It replaces parse for a
// head with the same bytes.
func (b *block) repeat() *refusal {
	for i := range b.past.lines {
		l := &b.past.lines[i]
		if err := b.add(l.field(b.past.head[l.start:])); err != nil {
			return err
		}
	}

	return nil
}

// add files a field under its canonical name. As in net/http, Host,
// Transfer-Encoding and Trailer are not in the map.
func (b *block) add(key string, k kind, value string) *refusal {
	if b.count++; b.count > maxFields {
		return &refusal{http.StatusRequestHeaderFieldsTooLarge, "too many fields"}
	}

	if k != plain {
		if b.trailerSet {
			if k != date && b.response {
				return nil // RFC 9110 section 6.5.1: such a trailer may be discarded
			}
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
	if b.seen&bit == 0 { // the usual case, in which the map need not be read
		b.seen |= bit
		b.file(key, value, nil)
		return nil
	}

	b.file(key, value, b.header[key])
	return nil
}

// file adds a value to those of the same name.
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
		return b.declare(value)
	case transferEncoding:
		if b.codings++; !b.bodyless && (b.codings > 1 || !wire.EqualFold(value, "chunked")) {
			return malformed("transfer coding other than one chunked")
		}
		b.chunked = true
	case connection:
		b.options(value)
	case upgrade:
		b.websocket = wire.EqualFold(value, "websocket")
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

// declare notes a Content-Length. If the message has no body, a wrong value is
// no error, and dropFraming leaves it out.
func (b *block) declare(value string) *refusal {
	n, ok := wire.ParseLength(value)
	b.lengths++

	switch {
	case ok && b.lengths == 1:
		b.length = n
	case b.bodyless:
		b.length = -1
	case b.lengths > 1:
		return malformed("repeated Content-Length")
	default:
		return malformed("malformed Content-Length")
	}

	return nil
}

// endsWithHead reports whether a response has no body because of its status or
// its request's method (RFC 9112 section 6.3, rule 1). After a 101 comes
// another protocol.
func endsWithHead(method string, code int) bool {
	return method == http.MethodHead || code < 200 || code == http.StatusNoContent ||
		code == http.StatusNotModified
}

// dropFraming removes Content-Length from a message without a body, unless it
// is the length of another response's body: of the GET in place of HEAD, or of
// the 200 in place of a 304 (RFC 9110 section 8.6).
func (b *block) dropFraming(code int) {
	if b.length < 0 || b.codings > 0 || code < 200 || code == http.StatusNoContent {
		delete(b.header, "Content-Length")
		b.length = -1
	}
}

// options notes the connection options that have an effect here.
func (b *block) options(value string) {
	for option := range strings.SplitSeq(value, ",") {
		switch option = wire.TrimBlanks(option); {
		case wire.EqualFold(option, "close"):
			b.close = true
		case wire.EqualFold(option, "keep-alive"):
			b.keepAlive = true
		case wire.EqualFold(option, "upgrade"):
			b.upgrade = true
		}
	}
}

// announce notes the announced trailers.
func (b *block) announce(value string) *refusal {
	for name := range strings.SplitSeq(value, ",") {
		if name = wire.TrimBlanks(name); name == "" {
			continue
		}

		key, k := canonical(name)
		good := wire.IsToken(name) && (k == plain || k == date) && len(b.trailers) < maxFields
		switch {
		case good:
			b.trailers = append(b.trailers, key)
		case !b.response: // a backend's is left out, as the trailer itself will be
			return malformed("bad field announced as trailer")
		}
	}

	return nil
}

// trailer returns the map of announced trailers, still without values, or nil.
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

var errBadField = errors.New("field that cannot be written")

// appendFields appends a field line for each value.
func appendFields(out []byte, name string, values []string) (_ []byte, err error) {
	if !wire.IsToken(name) {
		return out, errBadField
	}
	return appendValues(out, name, values)
}

// appendValues is appendFields for a name that is known to be valid.
func appendValues(out []byte, name string, values []string) (_ []byte, err error) {
	for _, v := range values {
		if out, err = appendValue(out, name, v); err != nil {
			return out, err
		}
	}
	return out, nil
}

// appendValue appends a value, or fails if it is not a valid field value.
func appendValue(out []byte, name, value string) ([]byte, error) {
	if !wire.IsValue(value) {
		return out, errBadField
	}

	out = append(out, wire.Spelling(name)...)
	out = append(out, ": "...)
	out = append(out, wire.TrimBlanks(value)...)

	return append(out, "\r\n"...), nil
}
