package proxy

import (
	"context"
	"sync"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery"
	"github.com/pillion-lb/pillion/proxy/backend"
	"github.com/pillion-lb/pillion/proxy/route"
)

// service is a backend service by its name.
type service struct {
	name string // "" for the unnamed one
	*backend.Service
}

// addServices makes the services and the routes to them.
func (p *Proxy) addServices(o Options) {
	byName := make(map[string]*backend.Service, len(p.cfg.Services))
	for i := range p.cfg.Services {
		cfg := p.cfg.Services[i]
		s := backend.New(cfg, p.serviceOptions(&cfg, o))
		p.services = append(p.services, service{cfg.Name, s})
		byName[cfg.Name] = s
	}

	p.service = byName[""]
	p.routing = newRouting(p.cfg, byName, p.log)
	p.addGates(o)
}

func (p *Proxy) serviceOptions(cfg *config.Service, o Options) backend.Options {
	options := backend.Options{
		Logger:         o.Logger,
		StallTimeout:   p.cfg.Process.StallTimeout,
		MaxHeaderBytes: int(p.cfg.Process.MaxHeaderBytes),
		Budget:         o.Budget,
		Dial:           o.dial,
		History:        p.history != nil,

		UntrustedClients: p.cfg.Process.Role == config.Ingress,
	}
	if p.cfg.NamesServices() {
		options.Logger = o.Logger.With("service", cfg.Title())
	}
	if o.Tokens != nil {
		options.Tokens = o.Tokens(cfg.Name)
	}

	return options
}

// signsByName reports whether anyone who knows the service's name can forge its
// affinity cookies.
func signsByName(s config.Service) bool { return s.Affinity.Cookie && s.Affinity.Secret == nil }

// Update applies a publication for the unnamed service. See discovery.Set.
func (p *Proxy) Update(backends []discovery.Backend) { p.UpdateService("", backends) }

// UpdateService applies a publication for a service by its name.
func (p *Proxy) UpdateService(name string, backends []discovery.Backend) {
	for _, s := range p.services {
		if s.name == name {
			s.Update(backends)
		}
	}
}

// Run probes the health of all services' backends and keeps the store of limits
// connected, until ctx ends. It stops all background work before it returns
// nil.
func (p *Proxy) Run(ctx context.Context) error {
	var running sync.WaitGroup
	for _, s := range p.services {
		running.Go(func() { _ = s.Run(ctx) })
	}
	running.Go(func() { p.limits.run(ctx) })
	if p.keys != nil {
		running.Go(func() { _ = p.keys.Run(ctx) })
	}
	running.Wait()
	<-ctx.Done() // services without probes have returned before
	p.background.stop()

	return nil
}

// Backends returns the state of every endpoint for the status page, service by
// service. It is never nil.
func (p *Proxy) Backends() []backend.State {
	states := []backend.State{}
	for _, s := range p.services {
		of := s.States()
		if p.cfg.NamesServices() {
			for i := range of {
				of[i].Service = s.title()
			}
		}
		states = append(states, of...)
	}

	return states
}

// title returns the service's name for users.
func (s service) title() string {
	if s.name == "" {
		return config.DefaultName
	}

	return s.name
}

// EachRoute calls f for every item of the routes, in their order, with the
// number of requests that it has taken. If there is only one route, it does not
// call f.
func (p *Proxy) EachRoute(f func(row route.Row, requests int64)) {
	g := p.routing
	if g.table == nil {
		return
	}
	for i, row := range g.table.Rows() {
		f(row, g.counts[i].Load())
	}
}
