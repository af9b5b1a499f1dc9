package discovery

import (
	"fmt"
	"strings"

	"github.com/pillion-lb/pillion/config"
)

const (
	variable = "LB_BACKENDS"
	schemes  = "http, https, h2c, h2, dns, srv, run, metadata, demo"
	example  = "LB_BACKENDS='http://10.0.0.7:8080;https://app.example.com?name=blue&weight=3'"
)

// grammar is what the items of one list may be.
type grammar struct {
	attribute bool // the list is an attribute's value: no nested attributes, no demo, no unusable addresses
}

// Parse reads the items of LB_BACKENDS, each [scheme://]authority[?key=value&…]. It returns every problem there is;
// with problems the targets are incomplete. General URL parsers are of no use here: they reject ":8081" and accept
// paths, user info and odd spellings that would be dropped or read differently further on.
func Parse(items []string) ([]Target, []config.Problem) {
	return grammar{}.parse(items)
}

func (g grammar) parse(items []string) ([]Target, []config.Problem) {
	var targets []Target
	var problems []config.Problem
	named := map[string]int{}
	for i, item := range items {
		p := &parser{grammar: g, number: i + 1, item: strings.TrimSpace(item)}
		t := p.target()
		if first := named[t.Template.Name]; first != 0 && t.Template.Name != "" && len(p.problems) == 0 {
			p.failf("another name with ?name=", "the name %q is that of item %d already", t.Template.Name, first)
		}
		problems = append(problems, p.problems...)
		if len(p.problems) == 0 {
			named[t.Template.Name] = p.number
			targets = append(targets, t)
		}
	}
	return targets, problems
}

// parser reads one item and collects what is wrong with it.
type parser struct {
	grammar
	number   int
	item     string
	problems []config.Problem
}

// failf records a problem: what is accepted, then what is wrong.
func (p *parser) failf(accepted, format string, args ...any) {
	p.problems = append(p.problems, config.Problem{
		Variable: variable,
		Given:    masked(p.item),
		Reason:   fmt.Sprintf("item %d %q: ", p.number, masked(p.item)) + fmt.Sprintf(format, args...),
		Accepted: accepted,
		Example:  example,
	})
}

// masked is an item as it may be printed: without user info and without values, short.
func masked(item string) string {
	item, _, query := strings.Cut(item, "?")
	if at := strings.LastIndexByte(item, '@'); at >= 0 {
		scheme, _, ok := strings.Cut(item[:at], "://")
		if item = "***" + item[at:]; ok {
			item = scheme + "://" + item
		}
	}
	if len(item) > 120 {
		item = item[:120] + "…"
	}
	if query {
		item += "?…"
	}
	return item
}

func (p *parser) target() Target {
	item, ok := p.unescaped()
	if !ok {
		return Target{}
	}
	rest, query, asked := strings.Cut(item, "?")
	scheme, authority, given := strings.Cut(rest, "://")
	if !given {
		scheme, authority = "", rest
	}
	t := Target{Item: p.item, Written: !p.attribute}
	t.Template = Backend{Protocol: config.Auto, Weight: 1, Source: p.item}
	if !p.dispatch(scheme, authority, &t) {
		return t
	}
	if asked {
		p.keys(query, &t)
	}
	p.finish(&t)
	return t
}

// unescaped replaces %3B and %2C, which stand for the list's own separators; nothing else can be escaped.
func (p *parser) unescaped() (string, bool) {
	for _, r := range p.item {
		switch {
		case r < ' ' || r == 0x7f:
			p.failf("printable characters", "it contains a control character")
			return "", false
		case r > 0x7f:
			p.failf("ASCII; an international host name in its xn-- form", "it contains the character %q", r)
			return "", false
		case r == ' ':
			p.failf("no blanks inside an item; items are separated by ;", "it contains a blank")
			return "", false
		}
	}
	item := strings.NewReplacer("%3B", ";", "%3b", ";", "%2C", ",", "%2c", ",").Replace(p.item)
	if strings.Contains(item, "%") {
		p.failf("only %3B and %2C", "it contains a percent sign")
		return "", false
	}
	return item, true
}

// dispatch reads the authority by its scheme and reports whether the item is of a known kind at all.
func (p *parser) dispatch(scheme, authority string, t *Target) bool {
	switch scheme {
	case "", "http", "https", "h2c", "h2":
		p.fixed(scheme, authority, t)
	case "dns":
		p.dns(authority, t)
	case "srv":
		p.srv(authority, t)
	case "run":
		p.run(authority, t)
	case "metadata", "demo":
		if p.attribute {
			p.failf("http, https, h2c, h2, dns, srv, run", "%s:// may not stand in an attribute", scheme)
			return false
		}
		if scheme == "demo" {
			p.demo(authority, t)
		} else {
			p.metadata(authority, t)
		}
	case "run+list", "gce":
		p.failf(schemes, "%s:// is not supported in this version", scheme)
		return false
	default:
		p.unknownScheme(scheme)
		return false
	}
	return true
}

func (p *parser) unknownScheme(scheme string) {
	if lower := strings.ToLower(scheme); lower != scheme {
		p.failf(schemes, "the scheme %q is not written in lower case", scheme)
		return
	}
	p.failf(schemes, "the scheme %q is not known", scheme)
}

// plain refuses what no authority has. The message says what to write instead.
func (p *parser) plain(authority string) bool {
	switch {
	case strings.Contains(authority, "@"):
		p.failf("host and port only", "user info is refused: credentials do not belong into a target")
	case strings.Contains(authority, "#"):
		p.failf("host and port only", "a fragment (#) is refused")
	case strings.ContainsAny(authority, `/\`):
		host, _, _ := strings.Cut(strings.ReplaceAll(authority, `\`, "/"), "/")
		p.failf("host and port only", "a path is refused, even a final slash: requests keep their own path; write %q", host)
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
	name, colon, after := strings.Cut(authority, ":")
	absolute := strings.HasSuffix(name, ".")
	name = strings.TrimSuffix(name, ".")
	if after {
		authority = name + ":" + colon
	} else {
		authority = name
	}
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
