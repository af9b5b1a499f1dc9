package access

import (
	"strings"

	"github.com/pillion-lb/pillion/config"
)

// AllowedPaths are the paths of a rule that allows requests. It holds plain
// paths only, because a server could read any other path as one that is not
// allowed.
type AllowedPaths struct {
	exact []string
	below []string
}

// NewAllowedPaths makes the set of the paths in a list.
func NewAllowedPaths(list config.AccessPaths) *AllowedPaths {
	a := &AllowedPaths{}
	for _, p := range list {
		if path, below := p.Prefix(); below {
			a.below = append(a.below, path)
		} else {
			a.exact = append(a.exact, path)
		}
	}

	return a
}

// Hold reports whether a received path is in the set.
func (a *AllowedPaths) Hold(path string) bool {
	return within(path, a.exact, a.below) && Plain(path)
}

// within reports whether a path is one of exact, or one of below, or below one
// of the latter.
func within[T string | []byte](path T, exact, below []string) bool {
	for _, e := range exact {
		if string(path) == e {
			return true
		}
	}
	for _, b := range below {
		if len(path) >= len(b) && string(path[:len(b)]) == b &&
			(len(path) == len(b) || path[len(b)] == '/') {
			return true
		}
	}

	return false
}

// lower returns an ASCII text in lower case.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r | 0x20
		}
		return r
	}, s)
}
