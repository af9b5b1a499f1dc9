package edge

import (
	"net/http"
	"slices"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// Rules hold what the configuration says for all requests. They are immutable,
// so they are safe for concurrent use.
type Rules struct {
	trust           config.Trust
	loopTag         string   // the service's tag in CDN-Loop
	identityHeaders []string // of all services, in canonical form
	clientCert      bool     // clients have to show certificates to this process
	claims          []string // fields that identify a client, in canonical form
	iap             bool     // some of them come from Google's Identity-Aware Proxy
}

// New makes the rules of a configuration.
func New(cfg *config.Config) *Rules {
	r := &Rules{
		trust:   cfg.Process.TrustedProxies,
		loopTag: loopTag(cfg.Service.Affinity.KeyName),
		claims:  cfg.IdentityFields(),
		iap:     cfg.IAP(),

		clientCert: cfg.Process.ClientRoots != nil,
	}
	for _, s := range append([]config.Service{cfg.Service}, cfg.Services...) {
		name := http.CanonicalHeaderKey(s.IdentityHeader)
		if !slices.Contains(r.identityHeaders, name) {
			r.identityHeaders = append(r.identityHeaders, name)
		}
	}

	return r
}

// Hop is what is known about one request's client, and what is believed of it.
// The caller sets Host and Secure from the connection before Believe.
type Hop struct {
	Peer    string // address of the TCP peer
	Client  string // address of the client, as far as it is believed
	Trusted bool   // the peer's forwarding fields are believed
	Secure  bool   // the client uses HTTPS
	// SaidHTTP is set if a trusted peer has said that the client uses HTTP.
	SaidHTTP bool
	Host     string // as the client sent it, or as a trusted peer says

	chain     []string // the believed part of X-Forwarded-For
	forwarded []string // as it came; it may hold the scheme

	// Fields are sent by every attempt, in place of the request's fields of the
	// same names.
	Fields []wire.Field
}

// Say adds a field to Fields.
func (h *Hop) Say(name, value string) {
	h.Fields = append(h.Fields, wire.Field{Name: name, Value: value})
}

// Replace is Say for a field that Fields may have already.
func (h *Hop) Replace(name, value string) {
	for i := range h.Fields {
		if h.Fields[i].Name == name {
			h.Fields[i].Value = value
			return
		}
	}
	h.Say(name, value)
}

// Sent returns the lines of a field in Fields, and whether it is among them.
// None are a field that is removed.
func (h *Hop) Sent(name string) (lines []string, found bool) {
	for i := range h.Fields {
		if h.Fields[i].Name != name {
			continue
		}
		if found = true; h.Fields[i].Value != "" {
			lines = append(lines, h.Fields[i].Value)
		}
	}

	return lines, found
}

// Send replaces the lines of a field in Fields. None removes the field.
func (h *Hop) Send(name string, lines []string) {
	h.Fields = slices.DeleteFunc(h.Fields, func(f wire.Field) bool { return f.Name == name })
	if len(lines) == 0 {
		h.Say(name, "")
	}
	for _, line := range lines {
		h.Say(name, line)
	}
}

// Scheme returns the scheme that the client used, "http" or "https".
func (h *Hop) Scheme() string {
	if h.Secure {
		return "https"
	}

	return "http"
}

// Origin returns the origin that the client used.
func (h *Hop) Origin() string { return h.Scheme() + "://" + h.Host }
