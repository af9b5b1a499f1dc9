package xds

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// field is one field of a message.
type field struct {
	number protowire.Number
	kind   protowire.Type
	value  uint64 // of a varint field
	bytes  []byte // of a field with a length; it refers to the bytes of the message
}

// set is a set of field numbers below 64.
type set uint64

func setOf(numbers ...protowire.Number) (s set) {
	for _, n := range numbers {
		s |= 1 << n
	}

	return s
}

func (s set) has(n protowire.Number) bool { return n < 64 && s&(1<<n) != 0 }

// forbids reports whether field n must not follow the fields in s. That is the
// case if n is in once and s has it already, or if s has n or another field of
// an alternative to which n belongs.
func (s set) forbids(n protowire.Number, once set, alternatives []set) bool {
	for _, a := range alternatives {
		if a.has(n) && s&a != 0 {
			return true
		}
	}

	return once.has(n) && s.has(n)
}

var (
	errKind  = errors.New("it has another type on the wire")
	errGroup = errors.New("it is a group")
	errTwice = errors.New("it is there twice")
	errRange = errors.New("the number is too large")
	errUTF8  = errors.New("the text is not UTF-8")
)

// walk calls take for each field of a message. It is an error if a field of
// once is present twice, or if two fields of a set of alternatives are present.
// Protocol Buffers would merge such fields or take the last one, and two
// parsers could then disagree.
func walk(message []byte, once set, take func(field) error, alternatives ...set) error {
	var seen set
	for len(message) > 0 {
		f, rest, err := next(message)
		if err == nil && seen.forbids(f.number, once, alternatives) {
			err = errTwice
		}
		if err == nil {
			err = take(f)
		}
		if err != nil {
			return fmt.Errorf("field %d: %w", f.number, err)
		}

		if f.number < 64 {
			seen |= 1 << f.number
		}
		message = rest
	}

	return nil
}

// next parses the first field of a message, and returns the bytes behind it.
func next(message []byte) (f field, rest []byte, err error) {
	n := 0
	f.number, f.kind, n = protowire.ConsumeTag(message)
	if n < 0 {
		return f, nil, protowire.ParseError(n)
	}
	message = message[n:]

	switch f.kind {
	case protowire.VarintType:
		f.value, n = protowire.ConsumeVarint(message)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(message)
	case protowire.Fixed32Type, protowire.Fixed64Type:
		n = protowire.ConsumeFieldValue(f.number, f.kind, message)
	default:
		return f, nil, errGroup
	}

	if n < 0 {
		return f, nil, protowire.ParseError(n)
	}

	return f, message[n:], nil
}

// message stores the field's bytes, which may be a message. into may be nil,
// which only checks the type.
func (f field) message(into *[]byte) error {
	if f.kind != protowire.BytesType {
		return errKind
	}

	if into != nil {
		*into = f.bytes
	}

	return nil
}

func (f field) text(into *string) error {
	switch {
	case f.kind != protowire.BytesType:
		return errKind
	case !utf8.Valid(f.bytes):
		return errUTF8
	}

	*into = string(f.bytes)
	return nil
}

func (f field) number32(into *uint32) error {
	switch {
	case f.kind != protowire.VarintType:
		return errKind
	case f.value > math.MaxUint32:
		return errRange
	}

	*into = uint32(f.value)
	return nil
}

// enum stores the number of an enum field. Unknown numbers are kept.
func (f field) enum(into *int32) error {
	if f.kind != protowire.VarintType {
		return errKind
	}
	if f.value > math.MaxInt32 && f.value < 1<<64+math.MinInt32 {
		return errRange
	}

	*into = int32(f.value)
	return nil
}

// wrapped parses a google.protobuf.UInt32Value.
func (f field) wrapped(into *uint32) error {
	var inner []byte
	if err := f.message(&inner); err != nil {
		return err
	}

	*into = 0
	return walk(inner, setOf(1), func(f field) error {
		if f.number == 1 {
			return f.number32(into)
		}
		return nil
	})
}
