package discovery

import (
	"strings"

	"github.com/pillion-lb/pillion/config"
)

// plain refuses what no authority has. The message says what to write instead.
func (p *parser) plain(authority string) bool {
	switch {
	case strings.Contains(authority, "#"):
		p.failf("host and port only", "a fragment (#) is refused")
	case strings.ContainsAny(authority, `/\`):
		path := authority[strings.IndexAny(authority, `/\`):]
		p.failf("host and port only", "a path is refused, even a final slash: requests keep their own path; leave out %q", path)
	default:
		return true
	}
	return false
}

func (p *parser) fixed(scheme, authority string, t *Target) {
	t.Kind = Fixed
	if !p.plain(authority) {
		return
	}
	if authority == "" {
		p.failf("scheme://host, host:port or :port", "it names no host")
		return
	}
	if scheme == "" && !strings.Contains(authority, ":") {
		p.bare(authority)
		return
	}
	b := &t.Template
	b.Name = authority
	b.setScheme(scheme)
	host, port, ok := p.authority(authority)
	if !ok {
		return
	}
	if port == "" {
		port = b.defaultPort()
	}
	if host == "" {
		b.Address, b.Fallback = "127.0.0.1:"+port, "[::1]:"+port
		host = "localhost"
	} else {
		b.Address = host + ":" + port
		p.usable(host)
	}
	b.Host = b.authority(host, port)
}

// bare is a word without scheme and port: it could mean too many things.
func (p *parser) bare(word string) {
	if isDigits(word) {
		p.failf("scheme://host, host:port or :port", "it has neither a scheme nor a host; a local port is written %q", ":"+word)
		return
	}
	p.failf("scheme://host, host:port or :port", "without a scheme it needs a port, such as %q", word+":8080")
}

func (p *parser) dns(authority string, t *Target) {
	t.Kind = DNS
	host, port, ok := p.lookupName(authority)
	if !ok {
		return
	}
	t.Host, t.Port = host, port
}

func (p *parser) srv(authority string, t *Target) {
	t.Kind = SRV
	host, port, ok := p.lookupName(authority)
	if ok && port != "" {
		p.failf("srv://_http._tcp.name", "a port is refused: SRV records carry it")
		return
	}
	t.Host = host
}

// lookupName is a name that somebody asks a DNS server for; a final dot keeps the resolver from trying search domains.
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
		p.failf("a DNS name", "%s is an address and needs no look-up; write http://%s", host, authority)
		return "", "", false
	}
	if absolute {
		host += "."
	}
	return host, port, true
}

func (p *parser) run(authority string, t *Target) {
	t.Kind = Run
	const form = "run://service, run://service.region or run://service.region.project-number"
	if !p.plain(authority) {
		return
	}
	parts := strings.Split(authority, ".")
	if len(parts) > 3 {
		p.failf(form, "it has more than three parts")
		return
	}
	parts = append(parts, "", "")
	t.Service, t.Region, t.Project = parts[0], parts[1], parts[2]
	given := strings.Count(authority, ".")
	switch {
	case !isLabel(t.Service):
		p.failf(form, "%q is not the name of a Cloud Run service", t.Service)
	case given >= 1 && !isLabel(t.Region):
		p.failf(form, "%q is not a region", t.Region)
	case given >= 2 && !isProjectNumber(t.Project):
		p.failf(form, "%q is not a project number (digits, not the project's id)", t.Project)
	}
}

func (p *parser) metadata(authority string, t *Target) {
	t.Kind = Attribute
	scope, key, ok := strings.Cut(authority, "/attributes/")
	if !ok || scope != "instance" && scope != "project" || !isAttributeKey(key) {
		p.failf("metadata://instance/attributes/KEY or metadata://project/attributes/KEY",
			"it does not name an attribute (a key has letters, digits, - and _)")
		return
	}
	t.Path = authority
}

func (p *parser) demo(authority string, t *Target) {
	t.Kind = Demo
	n, ok := number(authority, 64)
	if !ok || n == 0 {
		p.failf("demo://1 to demo://64", "%q is not a number of demo backends", authority)
	}
	t.Count = n
}

// finish completes what depends on both the authority and the keys.
func (p *parser) finish(t *Target) {
	if len(p.problems) > 0 {
		return
	}
	switch t.Kind {
	case DNS:
		if t.Port == "" {
			t.Port = t.Template.defaultPort()
		}
		t.Template.Host = t.Template.authority(strings.TrimSuffix(t.Host, "."), t.Port)
	case Run:
		p.finishRun(t)
	}
}

func (p *parser) finishRun(t *Target) {
	if t.Template.Name == "" {
		t.Template.Name = t.runName()
	}
	if t.Project == "" {
		return
	}
	if _, err := runBackend(*t, t.Region, t.Project); err != nil {
		p.failf("https://HOST", "%v", err)
	}
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

// authority is host and port as a Host field carries them.
func (b *Backend) authority(host, port string) string {
	if port == b.defaultPort() {
		return host
	}
	return host + ":" + port
}
