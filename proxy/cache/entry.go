package cache

import (
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// stored is the head of a stored answer. It is never changed: a validation
// replaces it.
type stored struct {
	status int
	packed packed                      // the fields
	fields atomic.Pointer[http.Header] // the same as a map, once it was asked for
	// private are the lines of the field that only this cache reads.
	private []string
	freshness
	length int64 // of the body; -1 if not known yet
}

// header returns the fields. All answers that are made of the entry share the
// map, so it is read-only.
func (s *stored) header() http.Header {
	if h := s.fields.Load(); h != nil {
		return *h
	}
	h := s.packed.unpack()
	s.fields.Store(&h)
	return h
}

// memory returns the memory that the fields take.
func (s *stored) memory() int64 {
	h := storable{header: s.header()}
	_, n := h.measure()
	return n
}

// whole returns the head with the length of its body, which was not known
// before.
func (s *stored) whole(length int64) *stored {
	n := &stored{status: s.status, private: s.private, freshness: s.freshness, length: length}
	h := maps.Clone(s.header())
	h["Content-Length"] = []string{decimal(length)}
	n.fields.Store(&h)
	return n
}

// entry is one stored answer: a variant for one URL. What the queue needs comes
// first, and so is in one line of the processor's cache: an entry that is
// dropped has not been used for long.
type entry struct {
	resource     *resource
	newer, older *entry       // in the queue of its shard
	size         atomic.Int64 // memory that is taken for it, in bytes
	holders      atomic.Int32 // the number of its users: the store, and each answer that is made of it
	visited      atomic.Bool  // it was used since the queue's hand passed it (SIEVE)
	listed       bool
	marker       *marker // nil for an answer

	key      string   // the part of the cache key beside the URL
	vary     []string // the names of the fields by which the answer was chosen
	values   []string // and their values
	head     atomic.Pointer[stored]
	body     *body
	standsIn time.Time // of a plain answer: until then it serves those who want it compressed, too

	// the start of a refresh in the background, in Unix nanoseconds; 0 is none
	refreshing atomic.Int64
}

// marker is what makes an entry a marker, which has no answer: it remembers
// that answers for this key can't be stored, so no request waits for one.
type marker struct {
	until   time.Time
	passing time.Time // until then nothing is stored either
	idle    bool      // no request waited, so no answer is dropped for it
}

// hold keeps the entry's memory from being counted as free. It is called while
// the entry is in the store.
func (e *entry) hold() { e.holders.Add(1) }

// drop ends one use of the entry. Its memory is free when it has no user any
// more.
func (e *entry) drop(m *memory) {
	if e.holders.Add(-1) == 0 {
		m.give(e.size.Swap(0))
	}
}

// inUse reports whether answers are being made of the entry.
func (e *entry) inUse() bool { return e.holders.Load() > 1 }

// suits reports whether a request may be given the entry's answer.
//
// An answer that Pillion could not compress, because no encoder was free, is
// stored as the plain one that it is. For a moment it stands in for the
// compressed one, so that a shortage does not send every request to the
// service. Then the next client that wants it compressed has it asked for
// again.
func (e *entry) suits(v *view, now time.Time) bool {
	if chosen(e.vary, e.values, v) {
		return true
	}
	if e.standsIn.IsZero() || !now.Before(e.standsIn) || e.standsIn.Sub(now) > standingIn {
		return false
	}
	plain := v.plain()

	return chosen(e.vary, e.values, &plain)
}

// sameChoice reports whether another entry takes the place of this one.
func (e *entry) sameChoice(o *entry) bool {
	if e.key != o.key || len(e.vary) != len(o.vary) {
		return false
	}
	for i := range e.vary {
		if e.vary[i] != o.vary[i] || e.values[i] != o.values[i] {
			return false
		}
	}
	return true
}

// weigh returns the memory that an entry takes without its fields and its body.
func (e *entry) weigh() int64 {
	n := int64(overhead + len(e.key))
	for i := range e.vary {
		n += int64(len(e.vary[i]) + len(e.values[i]) + 32)
	}
	return n
}

// updated returns the head of a stored answer after a 304 that came at a time
// (RFC 9111 section 3.2). Its freshness has to be set.
//
// Vary stays as it is. The 304 may lack names that the stored answer has, such
// as the one that compression adds.
func (s *stored) updated(h http.Header, private string, came time.Time) *stored {
	n := &stored{status: s.status, length: s.length, private: s.private}
	if lines := h[private]; len(lines) > 0 {
		n.private = cloned(lines)
	}
	fields := maps.Clone(s.header())
	n.fields.Store(&fields)
	fresh := storableOf(h, private)
	fresh.setDate(came)
	for name, values := range fresh.pack(nil).unpack() {
		switch name {
		case "Content-Length", "Content-Encoding", "Content-Range", "Set-Cookie", "Vary":
		case "Etag":
			if fields["Etag"] == nil {
				fields["Etag"] = values
			}
		default:
			fields[name] = values
		}
	}
	return n
}

// with returns the head as it came, with an Age and the field that only this
// cache reads.
func (s *stored) with(age []string, private string) *http.Response {
	h := maps.Clone(s.header())
	if len(age) > 0 {
		h["Age"] = age
	}
	if len(s.private) > 0 {
		h[private] = s.private
	}
	return &http.Response{StatusCode: s.status, Header: h}
}

func cloned(values []string) []string {
	n := make([]string, len(values))
	for i, v := range values {
		n[i] = strings.Clone(v)
	}
	return n
}
