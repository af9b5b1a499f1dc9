package h2

import (
	"bytes"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// maxFields is how many fields a section may have.
const maxFields = 256

// decoder is a connection's HPACK decoder (RFC 7541). It decodes whole blocks
// only, into a list of fields. The dynamic table keeps each name with what this
// package knows about it.
//
// A section that is too large or has a malformed field is decoded to its end,
// because the table has to stay equal to the peer's (RFC 9113 section 4.3).
type decoder struct {
	table dynamicTable
	seen  *[seenLiterals]literal // nil until a literal comes
	coded []byte                 // the output of the Huffman decoder

	fields    []field
	size      uint32 // of the section, as RFC 9113 section 6.5.2 counts
	limit     uint32 // of that
	oversized bool   // the section is over a limit, and fields has only its beginning
	malformed bool   // a field is malformed: an error of the stream, not of the connection
}

// literal is a string literal that came before, with its decoded value, so that
// equal values share memory.
type literal struct {
	n       *name
	coded   []byte
	huffman bool
	value   string
}

func (l *literal) is(n *name, coded []byte, huffman bool) bool {
	return l.n == n && l.huffman == huffman && bytes.Equal(l.coded, coded)
}

const (
	seenLiterals  = 32
	maxSeenLength = 128 // of a literal that is remembered
)

func (d *decoder) init(limit uint32) {
	d.limit = limit
	d.table.max = tableSize
}

// drop frees the memory of the caches. The dynamic table stays.
func (d *decoder) drop() { d.seen, d.coded, d.fields = nil, nil, nil }

// decode decodes a block into fields, which are valid until the next call.
func (d *decoder) decode(p []byte) error {
	d.fields, d.size, d.oversized, d.malformed = d.fields[:0], 0, false, false
	first := true
	for len(p) > 0 {
		if p[0]&0xe0 == patternSizeUpdate {
			n, rest, err := readInteger(5, p)
			if err != nil {
				return err
			}
			if !first || n > tableSize {
				return errTableSize
			}
			d.table.resize(uint32(n))
			p = rest
			continue
		}

		first = false
		f, rest, err := d.field(p)
		if err != nil {
			return err
		}
		p = rest
		d.list(f)
	}
	return nil
}

// list adds a field to the section. Blanks around a value do not belong to it.
// They do belong to the entry of the table, because both sides must count the
// same size.
func (d *decoder) list(f field) {
	d.malformed = d.malformed || f.n.key == ""
	if f.n.kind != pseudo {
		f.value = wire.TrimBlanks(f.value)
	}
	if d.size += f.size(); d.size > d.limit || len(d.fields) >= maxFields {
		d.oversized = true
		return
	}
	d.fields = append(d.fields, f)
}

// field decodes one representation (RFC 7541 section 6).
func (d *decoder) field(p []byte) (f field, rest []byte, err error) {
	switch b := p[0]; {
	case b&patternIndexed != 0:
		i, p, err := readInteger(7, p)
		if err != nil {
			return f, p, err
		}
		if !d.table.find(i, &f) {
			return f, p, errIndex
		}
		return f, p, nil
	case b&patternIncremental != 0:
		f, p, err = d.literal(6, p)
		if err == nil {
			d.table.add(f)
		}
		return f, p, err
	}
	return d.literal(4, p)
}

// literal decodes the three kinds of literals.
func (d *decoder) literal(bits uint8, p []byte) (f field, rest []byte, err error) {
	i, p, err := readInteger(bits, p)
	if err != nil {
		return f, p, err
	}
	if i > 0 {
		if !d.table.find(i, &f) {
			return f, p, errIndex
		}
	} else if f.n, p, err = d.name(p); err != nil {
		return f, p, err
	}

	coded, huffman, p, err := readString(p)
	if err != nil {
		return f, p, err
	}
	valid := true
	if f.value, valid, err = d.value(f.n, coded, huffman); !valid {
		f.n = &name{lower: f.n.lower} // so each use of the table's entry is malformed too
	}
	return f, p, err
}

// name decodes a literal name.
func (d *decoder) name(p []byte) (*name, []byte, error) {
	coded, huffman, p, err := readString(p)
	if err != nil {
		return nil, p, err
	}
	if huffman {
		if d.coded, err = appendHuffman(d.coded[:0], coded); err != nil {
			return nil, p, err
		}
		coded = d.coded
	}
	return receivedName(coded), p, nil
}

// value decodes a literal value, or finds the decoded value from before.
func (d *decoder) value(n *name, coded []byte, huffman bool) (v string, valid bool, err error) {
	if len(coded) == 0 {
		return "", true, nil
	}
	before := d.before(n, coded)
	if before != nil && before.is(n, coded, huffman) {
		return before.value, true, nil
	}

	plain := coded
	if huffman {
		if d.coded, err = appendHuffman(d.coded[:0], coded); err != nil {
			return "", false, err
		}
		plain = d.coded
	}
	v = string(plain)
	if !wire.IsValue(v) {
		return v, false, nil
	}
	if before != nil {
		*before = literal{n, append(before.coded[:0], coded...), huffman, v}
	}
	return v, true, nil
}

// before returns the slot in which a literal is remembered, or nil if it is
// not.
func (d *decoder) before(n *name, coded []byte) *literal {
	if n.slot == 0 && n.kind != pseudo || len(coded) > maxSeenLength {
		return nil
	}
	if d.seen == nil {
		d.seen = new([seenLiterals]literal)
	}
	last := len(coded) - 1
	hash := uint(len(coded))*31 + uint(n.slot) +
		uint(coded[0]) + uint(coded[len(coded)/2])*3 + uint(coded[last])*7
	return &d.seen[hash%seenLiterals]
}

// dynamicTable is the table of RFC 7541 section 2.3.2, as a ring that grows
// when it has to.
type dynamicTable struct {
	ring  []field // its length is a power of two
	added uint64  // entries since the beginning
	count uint64  // entries that are in it
	size  uint32
	max   uint32
}

// find looks an index up in both tables.
func (t *dynamicTable) find(i uint64, f *field) bool {
	if i < uint64(len(staticTable)) {
		*f = staticTable[i]
		return i > 0
	}
	i -= uint64(len(staticTable))
	if i >= t.count {
		return false
	}
	*f = *t.at(t.added - 1 - i)
	return true
}

func (t *dynamicTable) at(i uint64) *field { return &t.ring[i&uint64(len(t.ring)-1)] }

func (t *dynamicTable) add(f field) {
	size := f.size()
	if size > t.max {
		t.evict(t.max) // RFC 7541 section 4.4: it empties the table
		return
	}
	t.evict(size)
	if t.count == uint64(len(t.ring)) {
		t.grow()
	}
	*t.at(t.added) = f
	t.added++
	t.count++
	t.size += size
}

func (t *dynamicTable) resize(max uint32) {
	t.max = max
	t.evict(0)
}

// evict removes the oldest entries until there is room.
func (t *dynamicTable) evict(need uint32) {
	for t.count > 0 && t.size+need > t.max {
		oldest := t.at(t.added - t.count)
		t.size -= oldest.size()
		t.count--
		*oldest = field{}
	}
}

func (t *dynamicTable) grow() {
	larger := dynamicTable{ring: make([]field, max(8, 2*len(t.ring)))}
	for i := t.added - t.count; i < t.added; i++ {
		*larger.at(i) = *t.at(i)
	}
	t.ring = larger.ring
}
