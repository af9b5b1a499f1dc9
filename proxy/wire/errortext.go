package wire

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"strconv"
)

// ErrorText returns the body of every error that Pillion answers by itself. It
// has the status and an id that the client can quote, but not the cause.
func ErrorText(status int, requestID string) string {
	return strconv.Itoa(status) + " " + http.StatusText(status) + "\nrequest id: " + requestID + "\n"
}

// RandomID returns 128 random bits in hexadecimal. An id is unique and no
// secret, so it comes from the runtime's generator, which needs no system call.
func RandomID() string {
	id := randomID()
	return string(id[:])
}

// RandomID is wire.RandomID in the common memory.
func (t *Texts) RandomID() string {
	id := randomID()
	return t.Make(id[:])
}

func randomID() (digits [32]byte) {
	var bits [16]byte
	binary.NativeEndian.PutUint64(bits[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(bits[8:], rand.Uint64())
	hex.Encode(digits[:], bits[:])

	return digits
}
