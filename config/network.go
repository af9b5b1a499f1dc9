package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/textproto"
	"net/url"
	"strings"
)

// address is the form of the address of a listener.
func address() form {
	return form{"an address such as ':8080' or '127.0.0.1:8080'",
		func(given string) (string, error) {
			if _, rest, ok := strings.Cut(given, "://"); ok {
				return "", fmt.Errorf("is a URL: leave out its scheme, '%s'", clip(rest))
			}
			if _, isPort := digits(given); isPort {
				return "", fmt.Errorf("needs a colon: ':%s'", clip(given))
			}

			host, port, err := net.SplitHostPort(given)
			if err != nil || strings.ContainsAny(host, " /@") {
				return "", errors.New("is not an address with a port")
			}

			if n, ok := digits(port); !ok || n > 65535 {
				return "", errors.New("has a port that is no number from 0 to 65535")
			}

			return given, nil
		}}
}

// authority is the form of a host with or without a port, as in a URL (RFC 3986
// section 3.2): an IPv6 address is in brackets.
func authority() form {
	return form{"host or host:port, an IPv6 address in brackets",
		func(given string) (string, error) {
			if strings.Contains(given, "://") {
				return "", errors.New("has a scheme")
			}

			host, port := given, ""
			if colon := strings.LastIndexByte(given, ':'); colon > strings.LastIndexByte(given,
				']') {
				host, port = given[:colon], given[colon+1:]
				if n, ok := digits(port); !ok || n < 1 || n > 65535 {
					return "", errors.New("has a port that is no number from 1 to 65535")
				}
			}

			if inner, ok := strings.CutPrefix(host, "["); ok {
				inner, closed := strings.CutSuffix(inner, "]")
				if a, err := netip.ParseAddr(inner); !closed || err != nil || !a.Is6() ||
					a.Zone() != "" {
					return "", errors.New("has brackets around something that is no IPv6 address")
				}

				return given, nil
			}

			for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
				if label == "" || len(label) > 63 || strings.Trim(label, hostCharacters) != "" {
					return "", errors.New("is no host name and no address")
				}
			}

			return given, nil
		}}
}

// hostCharacters are the characters of a label of a host name. DNS host names
// have no underscore (RFC 1123 section 2.1), but names in Docker networks do.
const hostCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

// trust is the form of LB_TRUSTED_PROXIES.
func trust() form {
	const accepted = "none, cloudrun, gclb+cloudrun, a hop count, or a list of networks such as " +
		"10.0.0.0/8 and of the word private, with +host behind a count or a network"
	return form{accepted, func(given string) (string, error) {
		return given, new(Trust).EnvDecode(given)
	}}
}

// token is the form of a name of a field (RFC 9110 section 5.1) or of a cookie
// (RFC 6265 section 4.1.1).
func token(accepted string) form {
	return form{accepted, func(given string) (string, error) {
		if !isToken(given) {
			return "", errors.New("holds a character that such a name may not have")
		}
		return given, nil
	}}
}

// identityField is the form of the name of the field with an ID token. It
// decodes to the canonical form of header maps. Fields that frame a message or
// that belong to one connection (RFC 9110 section 7.6.1) are refused.
func identityField() form {
	return form{"the name of a header field", func(given string) (string, error) {
		if !isToken(given) {
			return "", errors.New("holds a character that such a name may not have")
		}

		name := textproto.CanonicalMIMEHeaderKey(given)
		switch name {
		case "Connection", "Content-Length", "Cookie", "Expect", "Host", "Keep-Alive",
			"Proxy-Connection", "Te", "Trailer",
			"Transfer-Encoding", "Upgrade":
			return "", errors.New("is a field with a meaning of its own")
		}

		return name, nil
	}}
}

// isToken reports whether s is a token by RFC 9110 section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		word := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !word && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// prefix is the form of the beginning of Pillion's own paths. Request targets
// are compared with it byte by byte, so it has only characters that need no
// escapes.
func prefix() form {
	return form{"a path that begins and ends with '/', of letters, digits and -._~",
		func(given string) (string, error) {
			switch {
			case !strings.HasPrefix(given, "/") || !strings.HasSuffix(given, "/"):
				return "", errors.New("does not begin and end with '/'")
			case strings.Contains(given, "//"):
				return "", errors.New("has an empty segment")
			case !isToken(strings.ReplaceAll(given, "/", "x")) || strings.ContainsAny(given, "!#$%&'*+^`|"):
				return "", errors.New("holds a character that our paths may not have")
			}

			return given, nil
		}}
}

// plainPath refuses characters that the path of a request target can't have.
func plainPath(path string) error {
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c >= 0x7f || c == '#' || c == '?' {
			return errors.New("holds a character that a path may not have")
		}
	}

	return nil
}

// probe is the form of LB_HEALTH_CHECK.
func probe() form {
	return form{"a path such as /healthz, grpc, grpc:SERVICE, tcp",
		func(given string) (string, error) {
			kind, service, named := strings.Cut(given, ":")
			switch {
			case strings.HasPrefix(given, "/"):
				return given, plainPath(strings.Replace(given, "?", "", 1))
			case given == "tcp", given == "grpc":
				return given, nil
			case kind == "grpc" && named && service != "" && plainPath(service) == nil:
				return given, nil
			}

			return "", notHealthCheck(given)
		}}
}

// notHealthCheck says what a health check is written as that is none.
func notHealthCheck(given string) error {
	if _, rest, ok := strings.Cut(given, "://"); ok {
		path := "/"
		if at := strings.IndexByte(rest, '/'); at >= 0 {
			path = rest[at:]
		}
		return fmt.Errorf("is a URL: each backend is asked for the path alone, '%s'", clip(path))
	}
	switch strings.ToLower(given) {
	case "true", "yes", "on", "1", "enabled", "http", "https", "get":
		return errors.New("is no kind of health check: a path begins with '/', as in '/healthz'")
	}
	if plainPath(given) == nil && !strings.Contains(given, ":") {
		return fmt.Errorf("is no kind of health check: a path begins with '/', as in '/%s'",
			clip(given))
	}

	return errors.New("is no kind of health check")
}

// identity is the form of auto, off or an audience.
func identity() form {
	const accepted = "auto, off, or an audience such as https://app.example.com, myservice or an " +
		"OAuth client's id"
	return form{accepted, func(given string) (string, error) {
		if isNone(given) {
			return "off", nil
		}

		if strings.EqualFold(given, "auto") {
			return "auto", nil
		}

		return given, audience(given)
	}}
}

// audience returns why given is not an audience, or nil. An audience is a URL,
// or another name that the receiver compares (RFC 7519 section 4.1.3): a custom
// audience of Cloud Run, or the id of an OAuth client. A list is refused,
// because a token is for one audience.
func audience(given string) error {
	switch strings.ToLower(given) {
	case "true", "false", "on", "yes", "no":
		return errors.New("is no audience")
	}

	if len(split(given)) != 1 || strings.ContainsAny(given, ";,") {
		return errors.New("is a list, and a token has one audience")
	}

	for i := range len(given) {
		if c := given[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"'<>\\^`{|}", c) >= 0 {
			return errors.New("holds a character that an audience may not have")
		}
	}

	if !strings.Contains(given, ":") {
		return nil
	}
	u, err := url.Parse(given)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return errors.New("is no audience: one with a colon is an https URL")
	}
	return nil
}
