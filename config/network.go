package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// address takes what a listener can be opened on.
func address() form {
	return form{"an address such as ':8080' or '127.0.0.1:8080'", func(given string) (string, error) {
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

// trust takes whom forwarding fields are believed from.
func trust() form {
	return form{"none, cloudrun, gclb+cloudrun, a hop count, or a list of networks such as 10.0.0.0/8", func(given string) (string, error) {
		return given, new(Trust).EnvDecode(given)
	}}
}

// token takes a name as HTTP writes names: of fields (RFC 9110 section 5.1) and of cookies (RFC 6265 section 4.1.1).
func token(accepted string) form {
	return form{accepted, func(given string) (string, error) {
		if !isToken(given) {
			return "", errors.New("holds a character that such a name may not have")
		}
		return given, nil
	}}
}

// isToken reports whether s is a token by RFC 9110 section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}

// prefix takes the beginning of our own paths, as it stands in a request target. Its characters are those that nobody
// on the way has a reason to encode or decode, because targets are compared byte by byte.
func prefix() form {
	return form{"a path that begins and ends with '/', of letters, digits and -._~", func(given string) (string, error) {
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

// plainPath refuses what cannot stand in the path of a request target.
func plainPath(path string) error {
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c >= 0x7f || c == '#' || c == '?' {
			return errors.New("holds a character that a path may not have")
		}
	}
	return nil
}

// probe takes the kinds of active health check.
func probe() form {
	return form{"a path such as /healthz, grpc, grpc:SERVICE, tcp", func(given string) (string, error) {
		kind, service, named := strings.Cut(given, ":")
		switch {
		case strings.HasPrefix(given, "/"):
			return given, plainPath(strings.Replace(given, "?", "", 1))
		case given == "tcp", given == "grpc":
			return given, nil
		case kind == "grpc" && named && service != "" && plainPath(service) == nil:
			return given, nil
		}
		return "", errors.New("is no kind of health check")
	}}
}

// identity takes auto, off or an audience.
func identity() form {
	return form{"auto, off, or an audience such as https://app.example.com", func(given string) (string, error) {
		if isNone(given) {
			return "off", nil
		}
		if strings.EqualFold(given, "auto") {
			return "auto", nil
		}
		u, err := url.Parse(given)
		if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
			return "", errors.New("is no audience: an audience is an https URL")
		}
		return given, nil
	}}
}

// endpoint takes the URL of a telemetry receiver.
func endpoint() form {
	return form{"an http or https URL", func(given string) (string, error) {
		u, err := url.Parse(given)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
			return "", errors.New("is not an http or https URL")
		}
		return "true", nil
	}}
}
