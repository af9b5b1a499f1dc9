package h1

// What a byte may be part of, after RFC 9110 section 5 and RFC 3986 appendix A.
const (
	inToken  uint8 = 1 << iota // tchar: a method or a field name
	inValue                    // a field value: HTAB, SP, VCHAR and obs-text
	inTarget                   // a request target: VCHAR but "#"
	inPath                     // a path that url.URL writes as it is
	inHost                     // a host name
)

// chars is the classes of each byte.
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

// every says that all bytes of s are of a class. The empty string is.
func every(s string, class uint8) bool {
	for i := 0; i < len(s); i++ {
		if chars[s[i]]&class == 0 {
			return false
		}
	}
	return true
}

// isValue says that all bytes of s may stand in a field value. It looks at eight at a time, and closely only where one of
// them is a control character, of which a tab is allowed.
func isValue(s string) bool {
	if len(s) < 8 {
		return every(s, inValue)
	}
	odd := controls(eight(s[len(s)-8:])) // some of them for the second time
	for t := s; len(t) > 8; t = t[8:] {
		odd |= controls(eight(t))
	}
	return odd == 0 || every(s, inValue)
}

// eight is the first eight bytes of s as one word.
func eight(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// controls is not zero if one of eight bytes is a control character. After Hacker's Delight, section 6-1: a borrow may mark
// a byte above a control character as well, never one without.
func controls(x uint64) uint64 {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	del := x ^ ones*0x7f
	return ((x-ones*' ')&^x | (del-ones)&^del) & tops
}

// isToken is RFC 9110's token.
func isToken(s string) bool { return s != "" && every(s, inToken) }

// trimBlanks takes optional white space from both ends.
func trimBlanks(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// equalFold is case-insensitive equality with an ASCII string in lower case.
func equalFold(s, lower string) bool {
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
