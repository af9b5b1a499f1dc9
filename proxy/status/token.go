package status

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

// authorized reports whether a request carries the token in one of the accepted
// forms: "Authorization: Bearer TOKEN", and for browsers the page's cookie or
// ?token=TOKEN.
func (h *Handler) authorized(r *http.Request) bool {
	return h.hasBearer(r) || h.hasCookie(r, false) || h.inQuery(r)
}

// inQuery reports whether a request carries the token as ?token=TOKEN.
func (h *Handler) inQuery(r *http.Request) bool {
	_, query, ok := strings.Cut(r.RequestURI, "?")
	if h.Token == nil || !ok {
		return false
	}

	values, err := url.ParseQuery(query)
	return err == nil && values.Has("token") && same(values.Get("token"), h.Token.Value())
}

// hasBearer reports whether a request carries the token as "Authorization:
// Bearer TOKEN".
func (h *Handler) hasBearer(r *http.Request) bool {
	if h.Token == nil {
		return false
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")

	return strings.EqualFold(scheme, "Bearer") && same(strings.TrimSpace(token), h.Token.Value())
}

// same compares two texts in a time that depends neither on the content nor on
// the length of want. It returns false if want is empty.
func same(given, want string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && want != ""
}

// Only texts of a length between these bounds are compared with the token,
// which saves the hashing of others. The bearer tokens of apps are mostly
// longer than longestToken. LB_STATUS_TOKEN has at least shortestToken
// characters, and the parts of a long query are mostly shorter.
const longestToken, shortestToken = 512, 16

// carriesToken reports whether the right token is anywhere in a request where a
// client could have put it by mistake. These places are: Authorization with any
// scheme; any parameter of the query; any parameter of the URL in Referer; and,
// for a target below the prefix, a segment of the path or any cookie.
func (h *Handler) carriesToken(r *http.Request) bool {
	if h.Token == nil {
		return false
	}

	want := h.Token.Value()
	for _, line := range r.Header["Authorization"] {
		if authorizationHolds(line, want) {
			return true
		}
	}

	separator := func(c rune) bool { return c == '&' || c == ';' || c == '?' }
	path, query, _ := strings.Cut(r.RequestURI, "?")
	if containsToken(query, separator, want) {
		return true
	}
	for _, line := range r.Header["Referer"] {
		if _, query, _ := strings.Cut(line, "?"); containsToken(query, separator, want) {
			return true
		}
	}
	if !h.below(r.RequestURI) {
		return false
	}

	return containsToken(path, func(c rune) bool { return c == '/' }, want) || h.hasCookie(r, true)
}

// containsToken reports whether one of the parts of a text is the token, or a
// parameter whose value is the token. Percent-encoding is decoded.
func containsToken(text string, separator func(rune) bool, want string) bool {
	for part := range strings.FieldsFuncSeq(text, separator) {
		_, value, named := strings.Cut(part, "=")
		if isToken(part, want) || named && isToken(value, want) {
			return true
		}
	}

	return false
}

// isToken reports whether a text is the token, with or without
// percent-encoding.
func isToken(text, want string) bool {
	if len(text) < shortestToken || len(text) > 3*longestToken {
		return false
	}
	if same(strings.Trim(text, " \t\""), want) {
		return true
	}
	if !strings.ContainsAny(text, "%+") {
		return false
	}

	decoded, err := url.QueryUnescape(text)

	return err == nil && same(strings.Trim(decoded, " \t\""), want)
}

// authorizationHolds reports whether a value of Authorization holds the token:
// alone, behind any scheme, or as the user or password of Basic (RFC 7617).
func authorizationHolds(line, want string) bool {
	if len(line) > 2*longestToken {
		return false
	}

	scheme, credentials, ok := strings.Cut(strings.Trim(line, " \t"), " ")
	if !ok {
		return same(scheme, want)
	}

	credentials = strings.Trim(credentials, " \t\"")
	if same(credentials, want) {
		return true
	}

	if !strings.EqualFold(scheme, "Basic") {
		return false
	}

	decoded, err := base64.StdEncoding.DecodeString(credentials)
	if err != nil {
		return false
	}

	user, password, _ := strings.Cut(string(decoded), ":")
	return same(password, want) || same(user, want)
}
