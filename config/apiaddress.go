package config

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
)

const defaultGoogleAPI = "https://{api}.googleapis.com"

// apiAddress is the form of the beginning of an API's URLs. Access tokens are
// sent there, so another machine needs https.
func apiAddress() form {
	return form{"https:// and a host, in which {api} stands for the API's name",
		func(given string) (string, error) {
			u, err := url.Parse(strings.ReplaceAll(given, "{api}", "api"))
			switch {
			case err != nil || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" ||
				u.Fragment != "" || u.ForceQuery:
				return "", errors.New("is more or less than a scheme and a host")
			case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
				return given, nil
			}

			return "", errors.New("is neither https:// nor http:// on loopback")
		}}
}

func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}
