package rules

import "github.com/pillion-lb/pillion/config"

// SecurityHeaders returns the rules of LB_SECURITY_HEADERS for answers over
// HTTP or HTTPS. Fields that the app sets stay. Strict-Transport-Security holds
// for one host and a year: the domain's owner has to decide about subdomains
// and about the preload lists of browsers.
func SecurityHeaders(secure bool) config.HeaderRules {
	list := config.HeaderRules{
		{Op: config.HeaderDefault, Name: "X-Content-Type-Options", Value: "nosniff"},
		{Op: config.HeaderDefault, Name: "X-Frame-Options", Value: "SAMEORIGIN"},
		{Op: config.HeaderDefault, Name: "Referrer-Policy", Value: "strict-origin-when-cross-origin"},
		{Op: config.HeaderRemove, Name: "X-Powered-By"},
	}
	if secure {
		// A browser ignores it over HTTP (RFC 6797 section 8.1).
		list = append(list, config.HeaderRule{
			Op: config.HeaderDefault, Name: "Strict-Transport-Security", Value: "max-age=31536000",
		})
	}

	return list
}
