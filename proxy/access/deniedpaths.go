package access

import (
	"math/bits"

	"github.com/pillion-lb/pillion/config"
)

// DeniedPaths are the paths of a rule that refuses requests. It holds a path if
// any server may read it as one of the set.
type DeniedPaths struct {
	exact []string // in lower case, without a slash at the end
	below []string
}

// mostLenient is the length of the longest path whose readings are compared. A
// path has up to 256 readings, and clients decide how long their paths are.
const mostLenient = 2 << 10

// mostRead bounds the bytes of all readings of one form of a path, and so the
// work that a client can cause by its path.
const mostRead = 32 << 10

// NewDeniedPaths makes the set of the paths in a list.
func NewDeniedPaths(list config.AccessPaths) *DeniedPaths {
	d := &DeniedPaths{}
	for _, p := range list {
		path, below := p.Prefix()
		decoded := []byte(lower(path))
		for changed := true; changed; {
			decoded, changed = decode(decoded)
		}
		path = lower(string(trimSlashes(decoded)))
		if below {
			d.below = append(d.below, path)
		} else {
			d.exact = append(d.exact, path)
		}
	}

	return d
}

// Hold reports whether any reading of a received path is in the set. A long
// path with more than one reading counts as held.
func (d *DeniedPaths) Hold(path string) bool {
	if path == "" {
		path = "/"
	}
	if path[0] != '/' {
		return false // "*", which is not a path (RFC 9112 section 3.2.4)
	}

	var first, second [256]byte
	decoded, buffer := append(first[:0], path...), second[:0]
	var held bool
	for range mostDecoding + 1 {
		all := leniencies(decoded)
		if all != 0 && (len(path) > mostLenient || len(decoded)<<bits.OnesCount8(uint8(all)) > mostRead) {
			return true
		}
		if held, buffer = d.anyReading(decoded, buffer, all); held {
			return true
		}

		var changed bool
		if decoded, changed = decode(decoded); !changed {
			return false
		}
	}

	return false
}

// anyReading reports whether a reading with some of the leniencies is in the
// set. It returns the buffer, which may have grown.
func (d *DeniedPaths) anyReading(path, buffer []byte, all reading) (bool, []byte) {
	for r := all; ; r = (r - 1) & all {
		buffer = read(buffer[:0], path, r)
		if within(buffer, d.exact, d.below) {
			return true, buffer
		}
		if r == 0 {
			return false, buffer
		}
	}
}
