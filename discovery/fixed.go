package discovery

import (
	"context"
	"strings"
)

// fixedKind is the kind of a target that is the backend itself.
func fixedKind() kind {
	return kind{
		name:    Fixed,
		schemes: []string{"http", "https", "h2c", "h2", ""},
		keys:    []string{"name", "weight", "host"},
		parse:   parseFixed,
		source: func(k *kinds, t Target) source {
			return static{identified(t.Template, t,
				k.identity)}
		},
	}
}

func parseFixed(p *parser, scheme, authority string, t *Target) {
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

// bare refuses a word without scheme and port, because it is ambiguous.
func (p *parser) bare(word string) {
	if isDigits(word) {
		p.failf("scheme://host, host:port or :port",
			"it has neither a scheme nor a host; a local port is written %q", ":"+word)
		return
	}

	p.failf("scheme://host, host:port or :port", "without a scheme it needs a port, such as %q",
		word+":8080")
}

// static is the source of a fixed target: one backend, known from the start.
type static struct{ backend Backend }

func (s static) run(_ context.Context, report func(answer, error)) {
	report(s.answer(), nil)
}

func (s static) answer() answer {
	return answer{backends: []Backend{s.backend}, final: true}
}
