package wire

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strconv"
)

// ErrorText returns the body of every error that Pillion answers by itself. It
// has the status and an id that the client can quote, but not the cause.
func ErrorText(status int, requestID string) string {
	return strconv.Itoa(
		status,
	) + " " + http.StatusText(
		status,
	) + "\nrequest id: " + requestID + "\n"
}

// RandomID returns 128 random bits in hexadecimal.
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
	rand.Read(bits[:])
	hex.Encode(digits[:], bits[:])

	return digits
}
