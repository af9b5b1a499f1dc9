package wire

// The classes of bytes, from RFC 9110 section 5 and RFC 3986 appendix A.
const (
	InToken  uint8 = 1 << iota // tchar: a method or a field name
	InValue                    // a field value: HTAB, SP, VCHAR and obs-text
	InTarget                   // a request target: VCHAR but "#"
	InPath                     // a path that url.URL does not escape
	InHost                     // a host name
)

// chars holds the classes of each byte.
var chars = [256]uint8{
	0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, // 0x00
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // 0x10
	2, 7, 6, 3, 15, 7, 15, 7, 6, 6, 7, 15, 14, 31, 31, 14, // 0x20
	31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 14, 14, 6, 14, 6, 6, // 0x30
	14, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, // 0x40
	31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 6, 6, 6, 7, 31, // 0x50
	7, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, // 0x60
	31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 6, 7, 6, 31, 0, // 0x70
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, // 0x80
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, // 0x90
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, // 0xa0
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, // 0xb0
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, // 0xc0
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, // 0xd0
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, // 0xe0
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, // 0xf0
}

// Is reports whether a byte belongs to a class.
func Is(c byte, class uint8) bool { return chars[c]&class != 0 }

// Every reports whether all bytes of s are of a class. It is true for "".
func Every(s string, class uint8) bool {
	for i := 0; i < len(s); i++ {
		if !Is(s[i], class) {
			return false
		}
	}
	return true
}

// IsValue reports whether s may be a field value. It tests eight bytes at a
// time for control characters, and looks at single bytes only if there is one,
// because a tab is allowed.
func IsValue(s string) bool {
	if len(s) < 8 {
		return Every(s, InValue)
	}

	odd := controls(firstEight(s[len(s)-8:])) // overlaps the words below
	for t := s; len(t) > 8; t = t[8:] {
		odd |= controls(firstEight(t))
	}

	return odd == 0 || Every(s, InValue)
}

// firstEight returns the first eight bytes of s as one word.
func firstEight(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// controls returns a value other than zero if one of eight bytes is a control
// character (Hacker's Delight, section 6-1). A borrow may also mark a byte
// above a control character, but never without one.
func controls(x uint64) uint64 {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	del := x ^ ones*0x7f
	return ((x-ones*' ')&^x | (del-ones)&^del) & tops
}

// IsToken reports whether s is a token (RFC 9110 section 5.6.2).
func IsToken(s string) bool { return s != "" && Every(s, InToken) }

// TrimBlanks removes optional whitespace (OWS) from both ends.
func TrimBlanks(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}

	return s
}

// EqualFold compares s with an ASCII string in lower case, ignoring case.
func EqualFold(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}

	for i := 0; i < len(s); i++ {
		b := s[i]
		if 'A' <= b && b <= 'Z' {
			b |= 0x20
		}
		if b != lower[i] {
			return false
		}
	}

	return true
}
