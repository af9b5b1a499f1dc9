package backend

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery"
	"github.com/pillion-lb/pillion/proxy/affinity"
	"github.com/pillion-lb/pillion/proxy/h1"
	"github.com/pillion-lb/pillion/proxy/h2"
	"github.com/pillion-lb/pillion/proxy/socket"
)

// Options are what a service needs beside its settings. With the zero value it
// logs nothing and has no identity.
type Options struct {
	Logger *slog.Logger
	Tokens Tokens // nil: no identity

	// The longest time without progress of a response body or a write; 0 is no
	// limit.
	StallTimeout   time.Duration
	MaxHeaderBytes int // of a response head; 0 is 64 KiB

	Budget *socket.Budget // for connections to backends; nil is no bound

	// History makes each endpoint remember its last minutes, for the status
	// page.
	History bool

	// UntrustedClients makes server errors count only if several clients met
	// them, because one client may use a URL that always fails.
	UntrustedClients bool

	// Dial makes the two transports of a backend. They connect when they are
	// first used. nil stands for the transports of packages h1 and h2.
	Dial func(discovery.Backend) (http1, http2 Transport)
}

// New makes a service without backends. Claims wait for the first Update.
func New(cfg config.Service, o Options) *Service {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}

	s := &Service{
		cfg: cfg, log: o.Logger, tokens: o.Tokens, dial: o.Dial,
		first: make(chan struct{}), changed: make(chan struct{}, 1),
		affinity:         affinity.New(cfg.Affinity, time.Now()),
		untrustedClients: o.UntrustedClients,
		begun:            time.Now(),
		histories:        o.History,
		stallTimeout:     o.StallTimeout,
		budget:           budget{share: cfg.RetryBudget},
		queue: queue{
			limit:   int64(cfg.MaxInFlight),
			size:    cfg.QueueSize,
			timeout: cfg.QueueTimeout,
		},
	}
	s.queue.snapshot = &s.snapshot
	if s.queue.size == 0 {
		s.queue.size = 2 * cfg.MaxInFlight
	}

	if s.dial == nil {
		trust := newTrustStore(cfg)
		s.dial = func(b discovery.Backend) (Transport, Transport) {
			return newTransports(cfg, o, b, trust)
		}
	}

	if o.Budget != nil {
		o.Budget.OnShort(s.shed)
	}

	return s
}

// newTransports makes the two transports of a backend.
func newTransports(
	cfg config.Service, o Options, b discovery.Backend, trust *trustStore,
) (http1, http2 Transport) {
	first := &h1.Transport{
		Address:        b.Address,
		Fallback:       b.Fallback,
		ConnectTimeout: cfg.ConnectTimeout,
		IdleTimeout:    cfg.IdleConnTimeout,
		StallTimeout:   o.StallTimeout,
		MaxHeaderBytes: o.MaxHeaderBytes,
		Control:        b.Control(),
		Budget:         o.Budget,
	}

	second := &h2.Transport{
		Address:        b.Address,
		Fallback:       b.Fallback,
		ConnectTimeout: cfg.ConnectTimeout,
		IdleTimeout:    cfg.IdleConnTimeout,
		StallTimeout:   o.StallTimeout,
		MaxHeaderBytes: o.MaxHeaderBytes,
		Control:        b.Control(),
		Budget:         o.Budget,
	}

	if b.TLS {
		name := hostOnly(cmp.Or(b.SetHost, b.Host, b.Address))
		first.TLS = trust.config(name, "http/1.1")
		second.TLS = trust.config(name, "h2")
	}

	return first, second
}
