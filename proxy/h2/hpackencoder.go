package h2

// encoder is a connection's HPACK encoder (RFC 7541). Its dynamic table holds
// one value for each name that has a slot. A value enters the table when it
// comes for the second time in a row. So there is no search and no hash, and
// values that change with each message do not evict those that stay.
type encoder struct {
	max, size uint32
	added     uint64
	evicted   uint64

	entries *encoderEntries // nil until the first field
	changed bool            // max has changed, and the next block tells the peer
	lowered bool            // max was smaller in between
}

// encoderEntries is an encoder's knowledge of its dynamic table.
type encoderEntries struct {
	sizes [tableSize / 32]uint16 // of the entries, by their ordinal
	slots [slots]slot
}

// slot is the last value of a name.
type slot struct {
	value string // in the table, unless its entry was evicted
	next  string // the last value that was sent; it enters if it comes again
	entry uint64 // ordinal, from 1 on
}

func (e *encoder) init() { e.max = tableSize }

// resize applies the peer's SETTINGS_HEADER_TABLE_SIZE.
func (e *encoder) resize(n uint32) {
	n = min(n, tableSize)
	if n == e.max {
		return
	}
	e.lowered = e.lowered || n < e.max
	e.max, e.changed = n, true
	e.evict(0)
}

func (e *encoder) evict(need uint32) {
	for e.size+need > e.max && e.evicted < e.added {
		e.size -= uint32(e.entries.sizes[e.evicted%uint64(len(e.entries.sizes))])
		e.evicted++
	}
}

// drop removes all entries, so the dynamic table is empty.
func (e *encoder) drop() {
	if e.added > 0 {
		e.changed, e.lowered = true, true
	}
	e.entries, e.size, e.added, e.evicted = nil, 0, 0, 0
}

// begin begins a block. If the table was smaller in between, the peer has to be
// told (RFC 7541 section 4.2). The size that is sent is 0, because some
// decoders accept a second update only after the first has emptied the table.
func (e *encoder) begin(b []byte) []byte {
	if e.entries == nil {
		e.entries = new(encoderEntries)
	}
	if e.changed {
		if e.lowered {
			b = append(b, patternSizeUpdate)
			e.size, e.evicted = 0, e.added
		}
		b = appendInteger(b, patternSizeUpdate, 5, uint64(e.max))
		e.changed, e.lowered = false, false
	}
	return b
}

// field appends a field.
func (e *encoder) field(b []byte, n *name, value string) []byte {
	if n.index != 0 {
		// :method and :scheme have two entries each.
		for i := n.index; int(i) < len(staticTable) && staticTable[i].n == n; i++ {
			if v := staticTable[i].value; v == value && v != "" {
				return append(b, patternIndexed|i)
			}
		}
	}
	if n.slot == 0 {
		return appendLiteral(b, n, value)
	}

	s := &e.entries.slots[n.slot]
	if s.value == value && s.entry > e.evicted {
		return appendInteger(b, patternIndexed, 7, uint64(len(staticTable))+e.added-s.entry)
	}
	if s.next != value {
		s.next = value
		return appendLiteral(b, n, value)
	}
	f := field{n, value}
	if f.size() > e.max/4 {
		return appendLiteral(b, n, value)
	}
	e.evict(f.size())
	e.entries.sizes[e.added%uint64(len(e.entries.sizes))] = uint16(f.size())
	e.added++
	e.size += f.size()
	s.value, s.entry = value, e.added
	return appendPair(b, patternIncremental, 6, n, value)
}

// shortCookie is the length below which a cookie could be guessed byte by byte
// (RFC 7541 section 7.1.3).
const shortCookie = 20

// appendLiteral appends a field that does not enter the table.
func appendLiteral(b []byte, n *name, value string) []byte {
	if n.kind == secret || n.kind == cookie && len(value) < shortCookie {
		return appendPair(b, patternNeverIndexed, 4, n, value)
	}
	return appendPair(b, patternLiteral, 4, n, value)
}

func appendPair(b []byte, pattern byte, bits uint8, n *name, value string) []byte {
	if n.index != 0 {
		b = appendInteger(b, pattern, bits, uint64(n.index))
	} else {
		b = appendString(append(b, pattern), n.lower)
	}
	return appendString(b, value)
}

// appendStatus appends :status.
func appendStatus(b []byte, status int) []byte {
	for i := nStatus.index; staticTable[i].n == nStatus; i++ {
		if v := staticTable[i].value; status == int(v[0]-'0')*100+int(v[1]-'0')*10+int(v[2]-'0') {
			return append(b, patternIndexed|i)
		}
	}
	return append(b,
		nStatus.index, 3, byte('0'+status/100), byte('0'+status/10%10), byte('0'+status%10))
}
