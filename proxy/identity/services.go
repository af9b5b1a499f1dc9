package identity

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/pillion-lb/pillion/config"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Services holds the tokens of all services. Each service has its own Source,
// so a token never goes to the backends of another one. Make one with
// NewServices. Safe for concurrent use.
type Services struct {
	list []serviceSource
}

type serviceSource struct {
	*Source
	name string
	of   []attribute.KeyValue // names the service if there are several
}

// NewServices makes the Source of every service.
func NewServices(cfg *config.Config, opts Options) *Services {
	s := &Services{}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}

	for _, service := range cfg.Services {
		one, source := opts, serviceSource{name: service.Name}
		if cfg.NamesServices() {
			source.of = []attribute.KeyValue{attribute.String("lb.service.name", service.Title())}
			one.Logger = opts.Logger.With("service", service.Title())
		}

		source.Source = New(cfg.For(service), one)
		s.list = append(s.list, source)
	}

	return s
}

// Of returns the Source of a service by its name, or nil if there is no such
// service.
func (s *Services) Of(service string) *Source {
	for _, source := range s.list {
		if source.name == service {
			return source.Source
		}
	}

	return nil
}

// Observe registers the metrics of every service's tokens.
func (s *Services) Observe(m metric.Meter) error {
	var errs []error
	for _, source := range s.list {
		errs = append(errs, source.Source.Observe(m, source.of...))
	}

	return errors.Join(errs...)
}

// Run fetches the tokens of every service until ctx ends. It returns nil.
func (s *Services) Run(ctx context.Context) error {
	var running sync.WaitGroup
	for _, source := range s.list {
		running.Go(func() { _ = source.Source.Run(ctx) })
	}

	running.Wait()

	return nil
}
