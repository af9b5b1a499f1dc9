package discovery

import (
	"strings"

	"github.com/pillion-lb/pillion/config"
)

// plain refuses characters that no authority has. The message tells what to
// write instead.
func (p *parser) plain(authority string) bool {
	switch {
	case strings.Contains(authority, "#"):
		p.failf("host and port only", "a fragment (#) is refused")
	case strings.ContainsAny(authority, `/\`):
		path := authority[strings.IndexAny(authority, `/\`):]
		p.failf("host and port only",
			"a path is refused, even a final slash: requests keep their own path; leave out %q", path)
	default:
		return true
	}

	return false
}

// lookupName reads a name for a DNS server. A final dot is allowed, which
// prevents search domains.
func (p *parser) lookupName(authority string) (host, port string, ok bool) {
	if !p.plain(authority) {
		return "", "", false
	}

	name, rest := authority, ""
	if colon := strings.IndexByte(authority, ':'); colon >= 0 {
		name, rest = authority[:colon], authority[colon:]
	}

	name, absolute := strings.CutSuffix(name, ".")
	authority = name + rest
	host, port, ok = p.authority(authority)
	if !ok {
		return "", "", false
	}

	if host == "" {
		p.failf("a DNS name", "it names no host to look up")
		return "", "", false
	}

	if isAddress(host) {
		p.failf("a DNS name", "%s is an address and needs no look-up; write http://%s", host,
			authority)
		return "", "", false
	}

	if absolute {
		host += "."
	}

	return host, port, true
}

// setScheme applies a scheme of fixed targets, or a word of ?protocol=.
func (b *Backend) setScheme(scheme string) {
	switch scheme {
	case "https":
		b.TLS = true
	case "h2":
		b.TLS, b.Protocol = true, config.H2
	case "h2c":
		b.Protocol = config.H2C
	case "http1":
		b.Protocol = config.HTTP1
	}
}

func (b *Backend) defaultPort() string {
	if b.TLS {
		return "443"
	}
	return "80"
}

// authority returns host and port in the form of a Host field.
func (b *Backend) authority(host, port string) string {
	if port == b.defaultPort() {
		return host
	}
	return host + ":" + port
}
