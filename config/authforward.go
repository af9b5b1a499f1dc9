package config

import (
	"fmt"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
)

// Forward is a claim that backends get in a field.
type Forward struct{ Claim, Field string }

// Forwards are the items of LB_AUTH_FORWARD.
type Forwards []Forward

// mostForwards is how many claims backends may get.
const mostForwards = 8

// EnvDecode reads a list of claim:Field.
func (f *Forwards) EnvDecode(given string) error {
	*f = nil
	for _, item := range split(given) {
		at := strings.LastIndexByte(item, ':')
		if at < 1 {
			return fmt.Errorf("has the item %q, which is not claim:Field", clip(item))
		}
		claim, err := url.PathUnescape(strings.TrimSpace(item[:at]))
		name := textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(item[at+1:]))
		switch {
		case err != nil || claim == "" || !isToken(name):
			return fmt.Errorf("has the item %q, which is not claim:Field", clip(item))
		case !forwardable(name):
			return fmt.Errorf("has the field %s, which is not for claims", name)
		case slices.ContainsFunc(*f, func(o Forward) bool { return o.Field == name }):
			return fmt.Errorf("names %s twice", name)
		}
		*f = append(*f, Forward{claim, name})
	}
	if len(*f) > mostForwards {
		return fmt.Errorf("has %d items, and %d is the most", len(*f), mostForwards)
	}

	return nil
}

// forwardable reports whether a field may carry a claim. It may not if it
// frames the message, could be taken for a credential, or tells the client's
// address.
func forwardable(name string) bool {
	switch name {
	case "Cookie", "Authorization", "Proxy-Authorization", "Date", "Expect", "Range",
		"X-Forwarded-For", "X-Forwarded-Proto",
		"X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix":
		return false
	}
	if strings.HasPrefix(name, "X-Forwarded-") {
		return true
	}

	return protectedField(name) == "" && strings.IndexFunc(name, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z')
	}) < 0
}

// DefaultForwards returns the default claims for backends. Clients can never
// set their fields, also with another LB_AUTH_FORWARD.
func DefaultForwards() Forwards {
	return Forwards{{"sub", "X-Forwarded-User"}, {"email", "X-Forwarded-Email"}}
}

// IdentityFields returns the fields that identify a client. If any route has
// authentication, none of them passes from a client to a backend.
func (c *Config) IdentityFields() (names []string) {
	for i := range c.Routes {
		a := &c.Routes[i].Auth
		if !a.On() {
			continue
		}
		for _, f := range slices.Concat(DefaultForwards(), a.Forward) {
			if !slices.Contains(names, f.Field) {
				names = append(names, f.Field)
			}
		}
	}

	return names
}

// forwardsAreOurs refuses header rules for fields that identify a client.
func (e *environment) forwardsAreOurs(c *Config, r *Route) {
	if r.RequestHeaders == nil || e.given[e.full("LB_REQUEST_HEADERS")] == "" {
		return
	}
	var rules HeaderRules
	if rules.EnvDecode(r.RequestHeaders.Value()) != nil {
		return
	}
	names := c.IdentityFields()
	for _, rule := range rules {
		if slices.Contains(names, rule.Name) {
			e.fault("LB_REQUEST_HEADERS", "changes "+rule.Name+", which LB_AUTH_FORWARD decides about")
		}
	}
}
