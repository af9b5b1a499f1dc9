package auth

import "net/http"

// Reason is why a token is not accepted. The zero value means that it is
// accepted.
type Reason string

// The reasons, as spans and metrics name them.
const (
	Missing     Reason = "missing"
	Malformed   Reason = "malformed"
	UnknownKey  Reason = "unknown_key"
	Signature   Reason = "signature"
	Expired     Reason = "expired"
	Early       Reason = "early"
	Issuer      Reason = "issuer"
	Audience    Reason = "audience"
	Claims      Reason = "claims"
	Unavailable Reason = "keys_unavailable"
)

// Status returns the status of the answer.
func (r Reason) Status() int {
	switch r {
	case Claims:
		return http.StatusForbidden
	case Unavailable:
		return http.StatusServiceUnavailable
	}

	return http.StatusUnauthorized
}

// rank orders reasons by the number of checks that the token passed. Among
// several providers, the reason with the highest rank is used.
func (r Reason) rank() int {
	switch r {
	case Missing:
		return 0
	case Malformed:
		return 1
	case Issuer:
		return 2
	case Audience:
		return 3
	case Claims:
		return 5
	}

	return 4
}
