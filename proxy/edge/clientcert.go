package edge

import (
	"crypto/tls"
	"encoding/base64"
	"net/http"
)

// isClientCert reports whether a field describes the client's certificate:
// those of RFC 9440, and Envoy's.
func isClientCert(name string) bool {
	switch name {
	case "Client-Cert", "Client-Cert-Chain", "X-Forwarded-Client-Cert":
		return true
	}

	return false
}

// ForwardCertificate tells the backend which certificate the client has shown,
// in the form of RFC 9440 section 2.2. It sets a field of the request, so that
// answers in a cache can depend on it. If no certificates are required, it sets
// nothing.
//
// The field is also in the hop's fields, so that no trailer can contradict it.
func (r *Rules) ForwardCertificate(h *Hop, fields http.Header, state *tls.ConnectionState) {
	if !r.clientCert {
		return
	}

	said := ""
	if state != nil && len(state.PeerCertificates) > 0 {
		said = ":" + base64.StdEncoding.EncodeToString(state.PeerCertificates[0].Raw) + ":"
		fields["Client-Cert"] = []string{said}
	}
	h.Say("Client-Cert", said)
	h.Say("Client-Cert-Chain", "")
	h.Say("X-Forwarded-Client-Cert", "")
}
