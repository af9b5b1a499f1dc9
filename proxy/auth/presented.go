package auth

import (
	"crypto/sha256"
	"hash/maphash"
)

// presented is a token as a request presents it, of which nothing is believed
// yet. What is found out about it is found out once, however many providers are
// asked.
type presented struct {
	text  string
	index uint64 // a hash of this process

	summed bool
	sum    [sha256.Size]byte

	tried bool
	read  *parsed // nil: it can't be read
}

// seed makes the index of a token unpredictable, so that no client can choose
// the slot of its token.
var seed = maphash.MakeSeed()

// become makes it a token, unless it is that already. It reports whether the
// text may be one.
func (t *presented) become(text string) bool {
	if !may(text) {
		*t = presented{text: text, tried: true}
		return false
	}
	if t.text != text {
		*t = presented{text: text, index: maphash.String(seed, text)}
	}

	return true
}

// hash returns the SHA-256 by which a token is recognized. Most tokens fit into
// memory of the stack.
func (t *presented) hash() *[sha256.Size]byte {
	if !t.summed {
		var buffer [2 << 10]byte
		t.sum, t.summed = sha256.Sum256(append(buffer[:0], t.text...)), true
	}

	return &t.sum
}

// parsed reads the token. It is nil if that can't be done.
func (t *presented) parsed() *parsed {
	if !t.tried {
		t.tried = true
		if wellFormed(t.text) {
			t.read = parse(t.text)
		}
	}

	return t.read
}
