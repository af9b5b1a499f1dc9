package config

import (
	"errors"
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"time"
)

// CORS decides which other origins may use a route, in the terms of the Fetch
// standard.
type CORS struct {
	Origins Origins  `env:"LB_CORS_ORIGINS"` // empty leaves CORS to the service
	Methods []string `env:"LB_CORS_METHODS"` // ["*"] is any
	// request fields, in canonical form; ["*"] is any
	Headers []string `env:"LB_CORS_HEADERS"`
	// response fields, in canonical form; ["*"] is any
	Expose      []string `env:"LB_CORS_EXPOSE"`
	Credentials bool     `env:"LB_CORS_CREDENTIALS"` // never together with Origins of "*"
	// how long a browser may keep the answer to a preflight
	MaxAge time.Duration `env:"LB_CORS_MAX_AGE"`
}

// Origins are the origins that may read answers, in the form that browsers
// send. "*" is any, and "https://*.example.com" any name below example.com.
type Origins []string

// originsForm describes LB_CORS_ORIGINS.
const originsForm = "a list of origins such as 'https://app.example.com' or " +
	"'https://*.example.com', separated by ';', or '*'"

// Any reports whether all origins are allowed.
func (o Origins) Any() bool { return slices.Contains(o, "*") }

// EnvDecode reads a list of origins.
func (o *Origins) EnvDecode(given string) error {
	*o = nil
	for _, item := range split(given) {
		origin, err := origin(item)
		if err != nil {
			return fmt.Errorf("has the item %q, which %w", clip(withoutUserInfo(item)), err)
		}

		*o = append(*o, origin)
	}

	if len(*o) == 0 && given != "" {
		return errors.New("names no origin")
	}

	if o.Any() && len(*o) > 1 {
		return errors.New("has '*' beside other origins: it already is all of them")
	}

	return nil
}

// origin reads one origin and returns it in the form of RFC 6454 section 6.2:
// in lower case, without the scheme's default port.
func origin(item string) (string, error) {
	if item == "*" {
		return item, nil
	}

	scheme, host, found := strings.Cut(strings.ToLower(item), "://")
	if !found || scheme == "" || !isToken(scheme) {
		return "", errors.New("has no scheme: an origin is 'https://host'")
	}

	if strings.ContainsAny(host, "/?#@") {
		return "", errors.New("is more than an origin: nothing follows its host and port")
	}

	name, _ := strings.CutPrefix(host, "*.")
	if _, err := authority().parse(name); err != nil {
		return "", err
	}

	switch scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}

	return scheme + "://" + host, nil
}

// origins takes a list of origins.
func origins() form {
	return form{originsForm, func(given string) (string, error) {
		var o Origins
		if err := o.EnvDecode(given); err != nil {
			return "", err
		}

		return strings.Join(o, ";"), nil
	}}
}

// corsMethods takes methods; "*" is any.
func corsMethods() form { return tokens("methods", strings.ToUpper) }

// corsFields takes names of fields; "*" is any.
func corsFields() form { return tokens("field names", textproto.CanonicalMIMEHeaderKey) }

// tokens is the form of a list of names, or of "*" alone.
func tokens(what string, normal func(string) string) form {
	return form{"a list of " + what + " separated by ';', or '*'",
		func(given string) (string, error) {
			var list []string
			for _, item := range split(given) {
				if !isToken(item) {
					return "", fmt.Errorf("has the item %q, which holds a character that such a name may not have",
						clip(item))
				}

				if item = normal(item); !slices.Contains(list, item) {
					list = append(list, item)
				}
			}

			switch {
			case len(list) == 0:
				return "", errors.New("names nothing")
			case len(list) > 1 && slices.Contains(list, "*"):
				return "", errors.New("has '*' beside other names: it already is all of them")
			}

			return strings.Join(list, ","), nil
		}}
}
