package auth

import (
	"net/http"
	"strings"

	"github.com/pillion-lb/pillion/config"
)

// credential returns the token of a request for a provider. If there are two,
// neither is used, because a backend might use the other one.
func credential(h http.Header, p *config.Provider) (token string, why Reason) {
	switch {
	case p.Cookie != "":
		return fromCookie(h["Cookie"], p.Cookie)
	case p.Header != "":
		lines := h[p.Header]
		switch len(lines) {
		case 0:
			return "", Missing
		case 1:
			return lines[0], ""
		}
		return "", Malformed
	}

	return bearer(h["Authorization"])
}

// bearer returns the credentials of the scheme Bearer (RFC 6750 section 2.1).
func bearer(lines []string) (token string, why Reason) {
	switch len(lines) {
	case 0:
		return "", Missing
	case 1:
	default:
		return "", Malformed
	}

	const scheme = "bearer"
	line := lines[0]
	if len(line) <= len(scheme) || line[len(scheme)] != ' ' ||
		!strings.EqualFold(line[:len(scheme)], scheme) {
		return "", Missing
	}

	return strings.TrimLeft(line[len(scheme):], " "), ""
}

// fromCookie returns the value of the only cookie with a name (RFC 6265 section
// 4.2.1).
func fromCookie(lines []string, name string) (token string, why Reason) {
	why = Missing
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			n, value, found := strings.Cut(strings.Trim(pair, " \t"), "=")
			if !found || n != name {
				continue
			}
			if why == "" {
				return "", Malformed
			}
			token, why = strings.Trim(value, `"`), ""
		}
	}

	return token, why
}
