package discovery

import (
	"slices"
	"strings"
)

// keys reads key=value&…. Each key may occur once, and must be one of the
// kind's.
func (p *parser) keys(query string, of kind, t *Target) {
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(query, "&") {
		key, value, given := strings.Cut(pair, "=")
		switch {
		case !p.known(key, of):
		case seen[key]:
			p.failf("every key once", "the key %q is given twice", key)
		case isLabelKey(key) && !given:
			p.set(key, "*", t) // any value
		case value == "":
			p.failf("key=value", "the key %q has no value", key)
		default:
			p.set(key, value, t)
		}

		seen[key] = true
	}
}

// known reports whether a kind has a key.
func (p *parser) known(key string, of kind) bool {
	switch {
	case slices.Contains(of.keys, key) && key != labelKey,
		isLabelKey(key) && slices.Contains(of.keys, labelKey):
		return true
	case len(of.keys) == 0:
		p.failf("no keys", "%s targets take no keys after ?", of.name)
	default:
		p.failf(strings.Join(of.keys, ", "), "the key %q is not known for %s targets", key, of.name)
	}

	return false
}

func (p *parser) set(key, value string, t *Target) {
	b := &t.Template
	if label, ok := strings.CutPrefix(key, "label."); ok {
		p.setLabel(label, value, t)
		return
	}

	switch key {
	case "name":
		if !isName(value) {
			p.failf("1 to 64 letters, digits, dots, underscores and hyphens",
				"the name %q is not one", value)
		}

		b.Name = value
	case "weight":
		n, ok := number(value, 256)
		if !ok {
			p.failf("a weight from 0 to 256", "the weight %q is not between 0 and 256", value)
		}

		b.Weight = n
	case "host":
		p.setHost(value, b)
	case "protocol":
		switch value {
		case "https", "h2", "h2c", "http1":
			b.setScheme(value)
		default:
			p.failf("https, h2, h2c, http1", "the protocol %q is not known", value)
		}
	case "resolver":
		p.setResolver(value, t)
	case "server":
		p.setServer(value, t)
	case "tls":
		p.setSecure(value, t)
	case "node":
		t.Node = value
	case "tag":
		if !isLabel(value) || strings.Contains(value, tagBorder) {
			p.failf("a traffic tag: lower-case letters, digits and hyphens",
				"the tag %q is not one", value)
		}

		t.Tag = value
	case "port", "netTag", "network":
		p.setCompute(key, value, t)
	}
}

func (p *parser) setHost(value string, b *Backend) {
	if !p.plain(value) {
		return
	}

	host, _, ok := p.authority(value)
	if ok && host == "" {
		p.failf("?host=name or ?host=name:port", "the host %q has no name", value)
	}

	b.SetHost = value
}

// setResolver sets the DNS server for a name. In a nested list, its address is
// restricted like those of backends.
func (p *parser) setResolver(value string, t *Target) {
	host, port, ok := p.authority(value)
	if !ok {
		return
	}

	if host == "" || port == "" {
		p.failf("?resolver=host:port", "the resolver %q has no host or no port", value)
		return
	}

	p.usable(host)
	t.Resolver = value
}

// labelKey stands for all keys with the name of a label.
const labelKey = "label.KEY"

func isLabelKey(key string) bool { return strings.HasPrefix(key, "label.") }
