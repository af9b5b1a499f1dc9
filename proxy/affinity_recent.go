package proxy

import (
	"crypto/subtle"
	"sync/atomic"
)

// recent remembers cookies that a keyring has verified, because a browser sends its own with every request and an HMAC
// is the dearest step of choosing. Only what a key of the ring signed gets in, and it lives as long as the ring: a
// changed secret forgets everything. A cookie's place is given by a part of its MAC, so nobody without a key can aim at
// another's. At most recentCookies are held; the rest is verified each time. The zero value is ready, for concurrent use.
type recent struct {
	places [recentCookies]atomic.Pointer[verified]
}

// recentCookies is how many cookies are remembered: about 130 KiB when all are.
const recentCookies = 1024

// verified is a cookie as it was sent, and what it says. It is never changed.
type verified struct {
	text    [encodedLength]byte
	binding binding
}

// get returns what a cookie says if it is remembered, or nil. Its time does not tell how much of a guess was right.
func (r *recent) get(text *[encodedLength]byte) *verified {
	v := r.place(text).Load()
	if v == nil || subtle.ConstantTimeCompare(v.text[:], text[:]) == 0 {
		return nil
	}
	return v
}

// put remembers a cookie in the stead of the one that had its place.
func (r *recent) put(text *[encodedLength]byte, b binding) {
	r.place(text).Store(&verified{text: *text, binding: b})
}

// place is found by the last characters, which are the MAC's, spread by Knuth's multiplicative hash.
func (r *recent) place(text *[encodedLength]byte) *atomic.Pointer[verified] {
	const n = encodedLength
	last := uint32(text[n-1]) | uint32(text[n-2])<<8 | uint32(text[n-3])<<16
	return &r.places[last*2654435761>>22%recentCookies]
}
