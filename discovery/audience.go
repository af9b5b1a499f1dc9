package discovery

import "strings"

// identified returns b with the audience of the ID token that its requests carry, by LB_IDENTITY: "auto", "off" or an
// audience. An audience of the operator's own choice goes only to what the operator wrote: an attribute or a DNS
// answer must not be able to draw such a token to another place. The audience that "auto" gives is the host's own
// URL, worth nothing anywhere else.
func identified(b Backend, t Target, identity string) Backend {
	b.Audience = ""
	switch {
	case identity == "off" || !b.TLS:
	case identity != "auto" && identity != "":
		if t.Written && (t.Kind == Fixed || t.Kind == Run) {
			b.Audience = identity
		}
	case t.Kind != SRV:
		b.Audience = ownAudience(b.Host)
	}
	return b
}

// ownAudience is the URL that a Cloud Run service expects in a token: without a traffic tag and without a port. It is
// "" for hosts outside run.app.
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
