package discovery

import (
	"strings"

	"github.com/pillion-lb/pillion/config"
)

// identified returns b with the audience of its requests' ID tokens, by
// LB_IDENTITY: "auto", "off" or an audience. A configured audience is used only
// for targets in LB_BACKENDS itself, so that an attribute or a DNS answer can't
// direct such a token to another host. The audience of "auto" is the host's own
// URL, and a token for it is useless anywhere else.
//
// A token goes over TLS only, and with "auto" only to the host that the
// certificate is checked for: that of ?host= before the target's own. So a
// Cloud Run service that is reached by another address, such as an endpoint of
// Private Service Connect, gets the token of its name, and whoever holds the
// address without that name's certificate gets none.
func identified(b Backend, t Target, identity string) Backend {
	b.Audience = ""
	switch {
	case identity == config.IdentityOff || !b.TLS:
	case identity != config.IdentityAuto && identity != "":
		if t.Written && (t.Kind == Fixed || t.Kind == Run) {
			b.Audience = identity
		}
	case b.SetHost != "" && !b.Run:
		b.Audience = ownAudience(b.SetHost)
	case t.Kind != SRV: // its host comes from DNS, and nobody wrote it down
		b.Audience = ownAudience(b.Host)
	}

	return b
}

// ownAudience returns the URL that a Cloud Run service expects in a token:
// without a traffic tag and without a port. It is "" for hosts outside run.app.
func ownAudience(authority string) string {
	host, _, _ := strings.Cut(authority, ":")
	if !strings.HasSuffix(host, ".run.app") {
		return ""
	}

	label, domain, _ := strings.Cut(host, ".")
	if _, service, tagged := strings.Cut(label, tagBorder); tagged {
		label = service
	}

	return "https://" + label + "." + domain
}
