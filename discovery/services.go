package discovery

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/pillion-lb/pillion/config"
	labels "go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Targets are the targets of each service, in the order of Config.Services.
type Targets [][]Target

// ParseServices reads the targets of every service. It returns all problems.
func ParseServices(cfg *config.Config) (Targets, []config.Problem) {
	all := make(Targets, len(cfg.Services))
	var problems []config.Problem
	for i := range cfg.Services {
		s := &cfg.Services[i]
		var more []config.Problem
		variable := config.VariableOf(listVariable, s.Name)
		all[i], more = ParseFor(variable, s.Backends)
		problems = append(problems, more...)
		problems = append(problems, bootstrapProblems(variable, all[i], cfg.Platform)...)
	}

	return all, problems
}

// ResolveServices is Resolve for every service.
func ResolveServices(ctx context.Context, cfg *config.Config, all Targets, opts Options,
	w io.Writer) error {
	var errs []error
	for i, s := range cfg.Services {
		errs = append(errs, Resolve(ctx, cfg.For(s), all[i], opts, w))
	}

	return errors.Join(errs...)
}

// Services holds the discovery of every service. Make one with NewServices.
type Services struct {
	list []*serviceDiscovery
}

type serviceDiscovery struct {
	*Discovery
	name     string
	title    string            // names the service if there are several
	of       []labels.KeyValue // the same, for metrics
	complete atomic.Bool
}

// NewServices makes the discovery of every service.
func NewServices(cfg *config.Config, all Targets, opts Options) *Services {
	s := &Services{}
	for i, service := range cfg.Services {
		one, d := opts, &serviceDiscovery{name: service.Name}
		if cfg.NamesServices() {
			d.title = service.Title()
			d.of = []labels.KeyValue{labels.String("lb.service.name", service.Title())}
			one.Logger = opts.withDefaults(cfg.Platform).Logger.With("service", service.Title())
		}

		d.Discovery = New(cfg.For(service), all[i], one)
		s.list = append(s.list, d)
	}

	return s
}

// Observe registers the metrics of every service's sources.
func (s *Services) Observe(m metric.Meter) error {
	var errs []error
	for _, d := range s.list {
		errs = append(errs, d.Observe(m, d.of...))
	}

	return errors.Join(errs...)
}

// Run runs every service's sources until ctx ends. publish gets the name of a
// service and its set. Complete means here that the sources of all services
// have answered. Without a service, publish gets one empty set.
func (s *Services) Run(ctx context.Context, publish func(service string, set Set)) {
	if len(s.list) == 0 {
		publish("", Set{Complete: true})
	}

	var running sync.WaitGroup
	for _, d := range s.list {
		running.Go(func() {
			_ = d.Run(ctx, func(set Set) {
				d.complete.Store(set.Complete)
				set.Complete = set.Complete && s.allComplete()
				publish(d.name, set)
			})
		})
	}

	running.Wait()
}

func (s *Services) allComplete() bool {
	return !slices.ContainsFunc(s.list, func(d *serviceDiscovery) bool { return !d.complete.Load() })
}

// States returns the states of the sources, service by service.
func (s *Services) States() []State {
	var states []State
	for _, d := range s.list {
		of := d.States()
		for i := range of {
			of[i].Service = d.title
		}

		states = append(states, of...)
	}

	return states
}
