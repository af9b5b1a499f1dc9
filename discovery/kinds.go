package discovery

import (
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery/metadata"
)

// kind is one way to find backends. To add a kind, write its file and add it to
// allKinds.
type kind struct {
	name    Kind
	schemes []string // in front of "://"; "" for an item without a scheme
	keys    []string // accepted after "?", see parser.set
	written bool     // accepted only in LB_BACKENDS, not in a nested list

	// parse reads the authority into the target. It reports mistakes by
	// p.failf.
	parse func(p *parser, scheme, authority string, t *Target)
	// finish sets values that depend on both the authority and the keys. It is
	// called if there was no mistake. It may be nil.
	finish func(p *parser, t *Target)
	// source makes the source that finds the target's backends.
	source func(k *kinds, t Target) source
	// preview returns the answer for "check --resolve" if the source must not
	// run for it. With nil, the source runs.
	preview func(t Target) answer
}

// allKinds returns the table of kinds, in the order in which messages list
// their schemes.
func allKinds() []kind {
	return []kind{fixedKind(), dnsKind(), srvKind(), runKind(), attributeKind(),
		fileKind(), kubernetesKind(), xdsKind(), runListKind(), gceKind(), gceNEGKind(), demoKind()}
}

// kindOf returns the kind that a scheme stands for.
func kindOf(scheme string) (kind, bool) {
	for _, k := range allKinds() {
		if slices.Contains(k.schemes, scheme) {
			return k, true
		}
	}

	return kind{}, false
}

// named returns the kind of a target.
func named(name Kind) kind {
	all := allKinds()
	return all[slices.IndexFunc(all, func(k kind) bool { return k.name == name })]
}

// kinds holds the parts that sources are made with.
type kinds struct {
	log      *slog.Logger
	identity string
	interval time.Duration
	resolver *net.Resolver
	metadata *metadata.Client

	cfg       *config.Config
	transport http.RoundTripper // to APIs; with nil, each source makes its own
}

func newKinds(cfg *config.Config, o Options) *kinds {
	return &kinds{
		log:      o.Logger,
		identity: cfg.Service.Identity,
		interval: max(cfg.Service.DiscoveryInterval, time.Second),
		resolver: o.Resolver,
		metadata: o.Metadata,

		cfg:       cfg,
		transport: o.Transport,
	}
}

// source makes the source of a target.
func (k *kinds) source(t Target) source { return named(t.Kind).source(k, t) }
