package proxy

import (
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery"
	"github.com/pillion-lb/pillion/proxy/h1"
	"github.com/pillion-lb/pillion/proxy/h2"
)

func newService(cfg *config.Config, o Options, m *metrics) *service {
	s := &service{
		cfg: cfg.Service, log: o.Logger, metrics: m, tokens: o.Tokens,
		first: make(chan struct{}), changed: make(chan struct{}, 1),
		affinity: newAffinity(cfg.Service.Affinity, time.Now()),
		budget:   budget{share: cfg.Service.Retry.Budget},
		queue:    queue{limit: int64(cfg.Service.MaxInFlight), size: cfg.Service.QueueSize, timeout: cfg.Service.QueueTimeout},
	}
	s.queue.snapshot = &s.snapshot
	if s.queue.size == 0 {
		s.queue.size = 2 * cfg.Service.MaxInFlight
	}
	trust := newTrustStore(cfg.Service)
	s.dial = func(b discovery.Backend) (upstream, upstream) {
		return newTransports(cfg, b, trust)
	}
	return s
}

// newTransports makes the two transports of a backend. Neither dials before it is used.
func newTransports(cfg *config.Config, b discovery.Backend, trust *trustStore) (http1, http2 upstream) {
	first := &h1.Transport{
		Address:        b.Address,
		Fallback:       b.Fallback,
		ConnectTimeout: cfg.Service.ConnectTimeout,
		IdleTimeout:    cfg.Service.IdleConnTimeout,
		StallTimeout:   cfg.Process.StallTimeout,
		MaxHeaderBytes: int(cfg.Process.MaxHeaderBytes),
		Control:        b.Control(),
	}
	second := &h2.Transport{
		Address:        b.Address,
		Fallback:       b.Fallback,
		ConnectTimeout: cfg.Service.ConnectTimeout,
		IdleTimeout:    cfg.Service.IdleConnTimeout,
		StallTimeout:   cfg.Process.StallTimeout,
		MaxHeaderBytes: int(cfg.Process.MaxHeaderBytes),
		Control:        b.Control(),
	}
	if b.TLS {
		name, _ := splitAddress(b.Address)
		if b.Host != "" {
			name = hostOnly(b.Host)
		}
		first.TLS = trust.config(name, "http/1.1")
		second.TLS = trust.config(name, "h2")
	}
	return first, second
}
