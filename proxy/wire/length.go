package wire

// ParseLength reads a Content-Length: digits only, without sign, list or blanks
// (RFC 9110 section 8.6). It accepts up to 18 digits, which fit int64.
func ParseLength(s string) (int64, bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}

	var n int64
	for i := 0; i < len(s); i++ {
		d := s[i] - '0'
		if d > 9 {
			return 0, false
		}
		n = n*10 + int64(d)
	}

	return n, true
}
