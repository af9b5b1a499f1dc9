package discovery

import "strings"

// keysOf are the keys that each kind of target takes after the question mark.
func keysOf(kind Kind) []string {
	switch kind {
	case Fixed:
		return []string{"name", "weight", "host"}
	case DNS, SRV:
		return []string{"protocol", "host"}
	case Run:
		return []string{"tag", "name", "weight"}
	}
	return nil
}

// keys reads key=value&…; every key once, and only those of the kind.
func (p *parser) keys(query string, t *Target) {
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		switch {
		case !p.known(key, t.Kind):
		case seen[key]:
			p.failf("every key once", "the key %q is given twice", key)
		case value == "":
			p.failf("key=value", "the key %q has no value", key)
		default:
			p.set(key, value, t)
		}
		seen[key] = true
	}
}

func (p *parser) known(key string, kind Kind) bool {
	keys := keysOf(kind)
	for _, k := range keys {
		if k == key {
			return true
		}
	}
	if len(keys) == 0 {
		p.failf("no keys", "%s targets take no keys after ?", kind)
		return false
	}
	p.failf(strings.Join(keys, ", "), "the key %q is not known for %s targets", key, kind)
	return false
}

func (p *parser) set(key, value string, t *Target) {
	b := &t.Template
	switch key {
	case "name":
		if !isName(value) {
			p.failf("1 to 64 letters, digits, dots, underscores and hyphens", "the name %q is not one", value)
		}
		b.Name = value
	case "weight":
		n, ok := number(value, 256)
		if !ok {
			p.failf("a weight from 0 to 256", "the weight %q is not one", value)
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
	case "tag":
		if !isLabel(value) || strings.Contains(value, tagBorder) {
			p.failf("a traffic tag: lower-case letters, digits and hyphens", "the tag %q is not one", value)
		}
		t.Tag = value
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
