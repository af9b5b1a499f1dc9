package wire

import (
	"strconv"
	"strings"
)

// Coding is a content coding (RFC 9110 section 8.4.1).
type Coding uint8

// The codings that Pillion knows. Identity means no coding.
const (
	Identity Coding = iota
	Gzip
	Brotli
	Zstd
	Deflate
	otherCodings // "*"
	codings
)

// String returns the coding's name in fields.
func (c Coding) String() string {
	return [...]string{"identity", "gzip", "br", "zstd", "deflate", "*", ""}[c]
}

// AcceptedCodings is the content of Accept-Encoding (RFC 9110 section 12.5.3).
// The zero value is that of a request without the field.
type AcceptedCodings struct {
	said    uint8 // a bit for each coding that has an element
	weights [codings]uint16
}

// AcceptEncoding reads the lines of an Accept-Encoding. If a coding has several
// elements, the smallest weight counts. It does not allocate.
func AcceptEncoding(lines []string) (a AcceptedCodings) {
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			name, parameters, _ := strings.Cut(element, ";")
			c := codingOf(TrimBlanks(name))
			if c == codings {
				continue
			}
			w := uint16(Weight(parameters))
			if !a.Names(c) || w < a.weights[c] {
				a.said, a.weights[c] = a.said|1<<c, w
			}
		}
	}

	return a
}

func codingOf(name string) Coding {
	switch {
	case EqualFold(name, "gzip"), EqualFold(name, "x-gzip"):
		return Gzip
	case EqualFold(name, "br"):
		return Brotli
	case EqualFold(name, "zstd"):
		return Zstd
	case EqualFold(name, "deflate"):
		return Deflate
	case name == "*":
		return otherCodings
	case EqualFold(name, "identity"):
		return Identity
	}

	return codings
}

// KnowsCoding reports whether a content coding is one that Pillion knows.
func KnowsCoding(name string) bool {
	c := codingOf(name)

	return c != codings && c != otherCodings
}

// Names reports whether the field has an element for the coding.
func (a *AcceptedCodings) Names(c Coding) bool { return a.said&(1<<c) != 0 }

// Weight returns the weight of a coding in thousandths; 0 means that the client
// does not accept it. Identity has 1 if the field does not name it, because
// clients accept it unless they exclude it.
func (a *AcceptedCodings) Weight(c Coding) int {
	switch {
	case a.Names(c):
		return int(a.weights[c])
	case c != Identity:
		return int(a.weights[otherCodings])
	case a.Names(otherCodings) && a.weights[otherCodings] == 0:
		return 0
	}

	return 1
}

// Others returns the weight of all codings that the field does not name.
func (a *AcceptedCodings) Others() int { return int(a.weights[otherCodings]) }

// Weight returns the q parameter of an element of an Accept field, in
// thousandths (RFC 9110 section 12.4.2). It is 1000 without the parameter, and
// 0 for one that is malformed.
func Weight(parameters string) int {
	for p := range strings.SplitSeq(parameters, ";") {
		name, value, found := strings.Cut(p, "=")
		if !found || !EqualFold(TrimBlanks(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(TrimBlanks(value), 64)
		if err != nil || !(q >= 0 && q <= 1) {
			return 0
		}

		return int(q*1000 + 0.5)
	}

	return 1000
}
