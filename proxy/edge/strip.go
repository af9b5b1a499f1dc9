package edge

import (
	"net/http"
	"slices"
	"strings"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// Strip removes the fields that concern only the connection to the client. It
// also removes what an untrusted peer claims about the client. It returns the
// name of such a field, or "".
func (r *Rules) Strip(h *Hop, fields http.Header) (claimed string) {
	connection := fields["Connection"]
	trailers := wire.HasToken(fields["Te"], "trailers") // gRPC asks for it

	h.forwarded = fields["Forwarded"]
	claimed = r.stripFields(h, fields)
	if connection != nil {
		dropNamed(fields, connection)
	}

	r.stripClaims(h)
	if trailers {
		// Not in Hop.Fields, which can't have fields about the connection.
		fields["Te"] = []string{"trailers"}
	}

	return claimed
}

// stripFields removes fields in one pass: those that concern only one
// connection, including some that older software uses for that (RFC 9110
// section 7.6.1); those that only Pillion may set towards a backend; and what
// an untrusted peer claims about the client. It returns the name of one of the
// last kind. The client's Authorization always stays. If the ID token is sent
// in that field, it replaces the client's.
func (r *Rules) stripFields(h *Hop, fields http.Header) (claimed string) {
	for name := range fields {
		switch name {
		case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authorization", "Te",
			"Transfer-Encoding", "Upgrade", "Http2-Settings", "Trailer", "Proxy",
			"X-Serverless-Authorization":
			delete(fields, name)
			continue
		}

		switch {
		case r.clientCert && isClientCert(name):
			claimed = name
			delete(fields, name)
		case slices.Contains(r.claims, name):
			delete(fields, name)
		case claimsClient(name):
			if !h.Trusted ||
				!r.trust.Host && name != "X-Forwarded-For" && name != "X-Forwarded-Proto" {
				claimed = name
				delete(fields, name)
			}
		case slices.Contains(r.identityHeaders, name) && name != "Authorization":
			delete(fields, name)
		case wire.IsOddName(name):
			if plain := plainName(name); r.guards(plain) {
				if claimsClient(plain) {
					claimed = name
				}
				delete(fields, name)
			}
		}
	}

	if h.Trusted {
		claimed = ""
	}

	return claimed
}

// claimsClient reports whether a field tells something about the client that
// only a proxy can know, such as its address. Applications and frameworks read
// these fields.
func claimsClient(name string) bool {
	switch name {
	case "Forwarded", "Forwarded-For", "X-Forwarded", "X-Real-Ip", "X-Real-Port",
		"Client-Ip", "X-Client-Ip", "True-Client-Ip", "X-Cluster-Client-Ip",
		"Proxy-Client-Ip", "Wl-Proxy-Client-Ip", "X-Proxyuser-Ip",
		"Cf-Connecting-Ip", "Cf-Connecting-Ipv6", "Cf-Pseudo-Ipv4", "Fastly-Client-Ip",
		"Fly-Client-Ip", "Do-Connecting-Ip", "Ali-Cdn-Real-Ip", "Incap-Client-Ip",
		"X-Sucuri-Clientip", "X-Nf-Client-Connection-Ip", "X-Appengine-User-Ip",
		"X-Azure-Clientip", "X-Envoy-External-Address", "X-Original-Forwarded-For",
		"X-Original-For", "X-Original-Proto", "X-Original-Host", "X-Host",
		"X-Remote-Addr", "X-Remote-Ip", "Client-Cert", "Client-Cert-Chain",
		"X-Scheme", "X-Url-Scheme", "Front-End-Https":
		return true
	}

	return strings.HasPrefix(name, "X-Forwarded-")
}

// plainName returns the name that some servers can't distinguish from a name
// with odd characters. CGI makes variables from field names (RFC 3875 section
// 4.1.18), and many servers turn every other character into "_". For them,
// X_Forwarded_For, X.Forwarded.For and X-Forwarded-For are the same.
func plainName(name string) string {
	return http.CanonicalHeaderKey(strings.Map(func(c rune) rune {
		if wire.IsOddName(string(c)) {
			return '-'
		}
		return c
	}, name))
}

// guards reports whether Strip decides about a field, so that no other spelling
// of its name may pass.
func (r *Rules) guards(name string) bool {
	switch name {
	case "Proxy", "X-Serverless-Authorization", "X-Request-Id", "Cdn-Loop":
		return true
	}

	return slices.Contains(r.identityHeaders, name) || claimsClient(name) ||
		slices.Contains(r.claims, name) || r.iap && slices.Contains(iapFields[:], name)
}

// iapFields are the fields in which Google's Identity-Aware Proxy identifies a
// client.
var iapFields = [...]string{
	"X-Goog-Iap-Jwt-Assertion", "X-Goog-Authenticated-User-Email", "X-Goog-Authenticated-User-Id",
}

// stripClaims removes the fields that identify a client, and keeps trailers
// from setting them. Authentication may set them afterwards.
func (r *Rules) stripClaims(h *Hop) {
	for _, name := range r.claims {
		h.Say(name, "")
	}
	if r.iap {
		for _, name := range iapFields {
			h.Say(name, "")
		}
	}
}

// BelieveIAP lets the assertion of Google's Identity-Aware Proxy pass, after it
// was verified. The two fields beside it are not signed: a client with a valid
// assertion that reaches Pillion without that proxy could write any name there.
// So they are set from the assertion, in the form that the proxy uses. subject
// is the claim sub, "ISSUER:ID".
func (h *Hop) BelieveIAP(fields http.Header, subject, email string) {
	if lines := fields["X-Goog-Iap-Jwt-Assertion"]; len(lines) == 1 {
		h.Replace("X-Goog-Iap-Jwt-Assertion", lines[0])
	}
	h.Replace("X-Goog-Authenticated-User-Id", subject)
	if issuer, _, ok := strings.Cut(subject, ":"); ok && email != "" {
		h.Replace("X-Goog-Authenticated-User-Email", issuer+":"+email)
	}
}

// WithoutClaims returns the fields without those that identify a client.
func (r *Rules) WithoutClaims(fields []wire.Field) []wire.Field {
	for i := range fields {
		if slices.Contains(r.claims, fields[i].Name) || slices.Contains(iapFields[:], fields[i].Name) ||
			isClientCert(fields[i].Name) {
			fields[i].Value = ""
		}
	}

	return fields
}
