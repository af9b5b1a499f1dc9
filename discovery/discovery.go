package discovery

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/pillion-lb/pillion/config"
)

// Discovery runs the sources of a backend service's targets and publishes which backends should exist.
type Discovery struct {
	list *list
	// publish is where Run's own argument waits for the list's first publication.
	publish func(Set)
}

// Options is what the process gives to discovery. The zero value is useful.
type Options struct {
	Logger   *slog.Logger      // nil: slog.Default()
	Resolver *net.Resolver     // nil: net.DefaultResolver
	Metadata http.RoundTripper // to the metadata server; nil: one of our own
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.Metadata == nil {
		o.Metadata = metadataTransport()
	}
	return o
}

// New prepares the discovery of targets, as Parse returned them. Without targets the lb-backends attributes of the
// machine are followed. Nothing runs before Run.
func New(cfg *config.Config, targets []Target, opts Options) *Discovery {
	d := &Discovery{}
	k := newKinds(cfg, opts.withDefaults())
	if len(targets) == 0 {
		targets = []Target{attributeOfMachine()}
	}
	d.list = newList(targets, k.log, k.source, nil, func(backends []Backend, complete bool) {
		d.publish(Set{Backends: backends, Complete: complete})
	})
	return d
}

// Run publishes full sets until ctx ends, then returns nil once every goroutine of discovery has ended. Fixed backends
// are published before anything is waited for. A set is published only when it differs from the one before, or when
// it became complete. Calls of publish never overlap; it must not block and not call back into discovery. Run may be
// called once.
func (d *Discovery) Run(ctx context.Context, publish func(Set)) error {
	d.publish = publish
	d.list.run(ctx)
	return nil
}

// States says how every source is doing, in the order of the list. Safe at any time and for concurrent use.
func (d *Discovery) States() []State { return d.list.states() }

// kinds makes the source of each kind of target.
type kinds struct {
	log      *slog.Logger
	identity string
	interval time.Duration
	resolver *net.Resolver
	metadata metadataClient
}

func newKinds(cfg *config.Config, o Options) *kinds {
	return &kinds{
		log:      o.Logger,
		identity: cfg.Service.Identity,
		interval: max(cfg.Service.DiscoveryInterval, time.Second),
		resolver: o.Resolver,
		metadata: newMetadataClient(o.Metadata),
	}
}

func (k *kinds) source(t Target) source {
	switch t.Kind {
	case DNS:
		return newDNS(t, k.identity, k.resolver, k.interval)
	case SRV:
		return newSRV(t, k.identity, k.resolver, k.interval)
	case Run:
		return newRun(t, k.identity, k.metadata)
	case Attribute:
		return newAttribute(t, k.log, k.metadata, k.source)
	case Demo:
		return &demo{target: t}
	}
	return static{identified(t.Template, t, k.identity)}
}
