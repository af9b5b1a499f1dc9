package wire

import (
	"slices"
	"strings"
)

// Said is what the head of a call decides: fields that an attempt sets or
// removes, and names of further ones. They must not come from the client after
// the body, as trailers.
type Said struct {
	Fields  []Field
	Settled []string
}

// Said returns what the head of the call decides.
func (c *Call) Said() Said { return Said{c.Fields, c.Settled} }

// Has reports whether one of them has a given name, or a name that servers may
// take for it. CGI makes variables of field names (RFC 3875 section 4.1.18), so
// many servers take X_User and X.User for X-User.
func (s Said) Has(name string) bool {
	for i := range s.Fields {
		if SameVariable(s.Fields[i].Name, name) {
			return true
		}
	}
	for _, settled := range s.Settled {
		if SameVariable(settled, name) {
			return true
		}
	}

	return false
}

// SameVariable reports whether CGI makes one variable of two field names.
func SameVariable(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if variable(a[i]) != variable(b[i]) {
			return false
		}
	}

	return true
}

// variable converts a byte of a field name as CGI does, but to lower case.
func variable(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c | 0x20
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return c
	}

	return '-'
}

// IsOddName reports whether a field name has characters other than letters,
// digits and hyphens. For some servers it is then another spelling of a name
// without them.
func IsOddName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c != '-' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return true
		}
	}

	return false
}

// WithField returns fields with one more, in place of those of its name. The
// fields of a call may be shared with other attempts, so none is changed.
func WithField(fields []Field, f Field) []Field {
	same := func(other Field) bool { return strings.EqualFold(other.Name, f.Name) }
	if slices.ContainsFunc(fields, same) {
		fields = slices.DeleteFunc(slices.Clone(fields), same)
	}

	return append(fields, f)
}
