package discovery

import (
	"context"
	"log/slog"
	"net"
	"net/http"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery/metadata"
)

// Discovery runs the sources of a backend service's targets and publishes which
// backends should exist.
type Discovery struct {
	list *list
	// publish is Run's argument.
	publish func(Set)
}

// Options are what discovery needs beside the configuration. The zero value is
// useful.
type Options struct {
	Logger   *slog.Logger     // nil: slog.Default()
	Resolver *net.Resolver    // nil: net.DefaultResolver
	Metadata *metadata.Client // nil: one of GCE_METADATA_HOST

	// Transport sends requests to APIs that list backends. With nil, each
	// source makes its own.
	Transport http.RoundTripper
}

func (o Options) withDefaults(p config.Platform) Options {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}

	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}

	if o.Metadata == nil {
		o.Metadata = metadata.New(p.MetadataHost, nil)
	}

	return o
}

// New makes the discovery of targets that Parse returned. Without targets, it
// follows the machine's lb-backends attributes. Nothing runs before Run.
func New(cfg *config.Config, targets []Target, opts Options) *Discovery {
	d := &Discovery{}
	k := newKinds(cfg, opts.withDefaults(cfg.Platform))
	if len(targets) == 0 {
		targets = []Target{attributeOfMachine()}
	}

	d.list = newList(targets, k.log, k.source, nil, func(backends []Backend, complete bool) {
		d.publish(Set{Backends: backends, Complete: complete})
	})

	return d
}

// Run publishes full sets until ctx ends. It returns nil when all goroutines of
// discovery have ended. Fixed backends are published at once. A set is
// published only if it differs from the one before, or has become complete.
// Calls of publish never overlap; it must not block or call discovery. Run may
// be called once.
func (d *Discovery) Run(ctx context.Context, publish func(Set)) error {
	d.publish = publish
	d.list.run(ctx)
	return nil
}

// States returns the state of every source, in the order of the list. It may be
// called at any time. Safe for concurrent use.
func (d *Discovery) States() []State { return d.list.states() }
