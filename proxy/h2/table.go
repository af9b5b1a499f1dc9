package h2

import "iter"

// table holds the open streams of a connection. Their numbers grow one by one,
// so the number of a stream is its index in the ring. If an older stream still
// has that place, the stream is in the map.
type table struct {
	ring   []*stream // its length is a power of two
	others map[uint32]*stream
	count  int
}

// largestRing is enough for the streams of ordinary connections.
const largestRing = 1 << 10

func (t *table) get(id uint32) *stream {
	if len(t.ring) == 0 {
		return nil
	}
	if st := *t.place(id); st != nil && st.id == id {
		return st
	}
	return t.others[id]
}

func (t *table) place(id uint32) **stream { return &t.ring[id>>1&uint32(len(t.ring)-1)] }

func (t *table) put(st *stream) {
	t.count++
	if 2*t.count > len(t.ring) && len(t.ring) < largestRing {
		t.grow()
	}
	t.insert(st)
}

func (t *table) insert(st *stream) {
	if at := t.place(st.id); *at == nil {
		*at = st
		return
	}
	if t.others == nil {
		t.others = make(map[uint32]*stream)
	}
	t.others[st.id] = st
}

func (t *table) grow() {
	old := *t
	*t = table{ring: make([]*stream, max(4, 2*len(old.ring))), count: old.count}
	for st := range old.all() {
		t.insert(st)
	}
}

func (t *table) remove(id uint32) {
	t.count--
	if at := t.place(id); *at != nil && (*at).id == id {
		*at = nil
		return
	}
	delete(t.others, id)
}

func (t *table) clear() { *t = table{} }

// all yields all streams. Streams may be removed meanwhile.
func (t *table) all() iter.Seq[*stream] {
	return func(yield func(*stream) bool) {
		for _, st := range t.ring {
			if st != nil && !yield(st) {
				return
			}
		}
		for _, st := range t.others {
			if !yield(st) {
				return
			}
		}
	}
}
