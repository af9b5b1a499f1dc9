package affinity

import (
	"crypto/subtle"
	"sync/atomic"
)

// verifiedCookies remembers the cookies that a keyring has verified. A browser
// sends its cookie with every request, and the HMAC is the most expensive step
// of choosing a backend.
//
// Only cookies with a valid signature are remembered, and a changed secret
// makes a new keyring without any. The slot of a cookie is determined by its
// MAC, so a client without a key can't aim at the slot of another cookie. There
// are maxVerified slots. Cookies that find no room are verified each time.
//
// The zero value is ready. Safe for concurrent use.
type verifiedCookies struct {
	places [maxVerified]atomic.Pointer[verified]
}

// maxVerified is how many cookies are remembered. They take about 130 KiB.
const maxVerified = 1024

// verified is a cookie as it was sent, and its content. It is immutable.
type verified struct {
	text    [ValueLength]byte
	binding Binding
}

// get returns a remembered cookie, or nil. The comparison takes the same time
// for every wrong guess.
func (r *verifiedCookies) get(text *[ValueLength]byte) *verified {
	v := r.place(text).Load()
	if v == nil || subtle.ConstantTimeCompare(v.text[:], text[:]) == 0 {
		return nil
	}
	return v
}

// put remembers a cookie, in place of the one in the same slot.
func (r *verifiedCookies) put(text *[ValueLength]byte, b Binding) {
	r.place(text).Store(&verified{text: *text, binding: b})
}

// place returns the slot of a cookie. The last characters, which belong to the
// MAC, are spread by Knuth's multiplicative hash.
func (r *verifiedCookies) place(text *[ValueLength]byte) *atomic.Pointer[verified] {
	const n = ValueLength
	last := uint32(text[n-1]) | uint32(text[n-2])<<8 | uint32(text[n-3])<<16
	return &r.places[last*2654435761>>22%maxVerified]
}
