package wire

import "strings"

// HasToken reports whether the lines of a field, which are comma-separated
// lists, contain a token (RFC 9110 section 5.6.1). Tokens are compared without
// regard to case; token must be in lower case.
func HasToken(lines []string, token string) bool {
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			if EqualFold(TrimBlanks(element), token) {
				return true
			}
		}
	}

	return false
}
