package discovery

import (
	"log/slog"
	"strings"
)

// attributeKind is the kind of a metadata attribute that holds a list of
// targets.
func attributeKind() kind {
	return kind{
		name:    Attribute,
		schemes: []string{"metadata"},
		written: true,
		parse:   parseAttribute,
		source:  newAttribute,
	}
}

func parseAttribute(p *parser, _, authority string, t *Target) {
	scope, key, ok := strings.Cut(authority, "/attributes/")
	if !ok || scope != "instance" && scope != "project" || !isAttributeKey(key) {
		p.failf("metadata://instance/attributes/KEY or metadata://project/attributes/KEY",
			"it does not name an attribute (a key has letters, digits, - and _)")
		return
	}

	t.Path = authority
}

func newAttribute(k *kinds, t Target) source {
	n := &nested{target: t, log: k.log.With("attribute", t.Item), sourceOf: k.source}
	n.place.what = "the attribute's value"
	n.place.followed = func(log *slog.Logger, backends int) {
		log.Info("discovery follows a new value of the attribute", "backends", backends)
	}

	for i, path := range []string{t.Path, t.Fallback} {
		if path != "" {
			f := follower{k.metadata, i, path}
			n.place.readers = append(n.place.readers, f.run)
		}
	}

	return n
}
