package rules

import (
	"net/http"
	"strings"
)

// acmePaths is the prefix of the paths by which an issuer of certificates
// checks who controls a host (RFC 8555 section 8.3). It asks in clear text.
const acmePaths = "/.well-known/acme-challenge/"

// HTTPSLocation returns the https URL for a request that came in clear text. It
// is not ok for a request that is served in clear text: one without a host or a
// path, because there is no URL for it, and one of an issuer of certificates,
// because the certificate may not exist yet. target is the path with the query.
func HTTPSLocation(host, target string) (location string, ok bool) {
	if host == "" || !strings.HasPrefix(target, "/") || strings.HasPrefix(target, acmePaths) {
		return "", false
	}
	return "https://" + withoutPort(host) + target, true
}

// HTTPSRedirect returns the redirect to such a URL. Its status, 308, keeps the
// method.
func HTTPSRedirect(location string) *http.Response {
	return answer(http.StatusPermanentRedirect, http.Header{"Location": {location}}, "")
}

// withoutPort removes the port from a host, because the port for clear text
// does not serve TLS.
func withoutPort(host string) string {
	colon := strings.LastIndexByte(host, ':')
	if colon < 0 || colon < strings.LastIndexByte(host, ']') {
		return host
	}
	return host[:colon]
}
