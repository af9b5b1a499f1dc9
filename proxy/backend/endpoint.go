package backend

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery"
	"github.com/pillion-lb/pillion/proxy/history"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// Transport sends requests to one endpoint and owns the connections to it.
type Transport interface {
	wire.Sender

	// MovesBody reports whether Send can move a request body without copying
	// it. Such a Send leaves the body untouched when it fails with NotSent.
	MovesBody() bool
	// Idle returns the number of connections that wait for a request.
	Idle() int
	// CloseIdle closes the idle connections, and each other one when its
	// request has ended.
	CloseIdle()
}

// Endpoint is the live record of a backend. It outlives snapshots: while
// discovery publishes the same backend, the endpoint keeps its health, its
// ejection, its connections and its requests in flight.
type Endpoint struct {
	Name   string
	Host   string // Host of the requests; "" keeps the client's
	Origin string // scheme://host of the target, for Location
	Addr   string // host of the target, as spans name it
	Port   int    // port of the target, as spans name it

	// As it was first published. sameServer says which fields stay true.
	server   discovery.Backend
	audience string
	carried  []string // names of its own affinity cookies
	loopback bool

	http1 Transport
	http2 Transport

	inFlight   atomic.Int64
	requests   atomic.Uint64
	failures   atomic.Uint64
	accepted   atomic.Bool  // whether a connection was ever made
	lastAnswer atomic.Int64 // when the last response head came, in Unix nanoseconds

	history     *history.Recorder // nil: nothing is remembered
	lastFailure atomic.Pointer[failure]

	health health
}

// newEndpoint makes the live record of a backend. It does not connect.
func (s *Service) newEndpoint(b discovery.Backend) *Endpoint {
	ep := &Endpoint{
		Name:     b.Name,
		server:   b,
		Host:     s.hostFor(b),
		Origin:   "http://" + b.Host,
		audience: b.Audience,
		carried:  s.carriedBy(b),
		loopback: loopback(b.Address),
	}
	if b.TLS {
		ep.Origin = "https://" + b.Host
	}

	ep.Addr, ep.Port = wire.SplitHostPort(b.Address)
	ep.http1, ep.http2 = s.dial(b)
	ep.health.init()
	if s.histories {
		ep.history = history.New(false)
	}

	return ep
}

// sameServer reports whether two backends of one name are the same server, so
// that the endpoint may stay. The fields compared decide how the server is
// reached and what it is told. When any other field changes, such as the
// weight, the endpoint keeps its health and its connections.
func sameServer(a, b discovery.Backend) bool {
	return a.Name == b.Name &&
		a.Address == b.Address &&
		a.Fallback == b.Fallback &&
		a.Host == b.Host &&
		a.SetHost == b.SetHost &&
		a.TLS == b.TLS &&
		a.Protocol == b.Protocol &&
		a.Run == b.Run &&
		a.Audience == b.Audience &&
		a.Guarded == b.Guarded
}

// protocol returns the protocol that the endpoint's target asks for, or else
// LB_PROTOCOL.
func (s *Service) protocol(ep *Endpoint) config.Protocol {
	if p := ep.server.Protocol; p != config.Auto && p != "" {
		return p
	}
	return s.cfg.Protocol
}

// overHTTP2 reports whether the endpoint is configured to speak HTTP/2.
func (s *Service) overHTTP2(ep *Endpoint) bool {
	p := s.protocol(ep)
	return p == config.H2 || p == config.H2C
}

// answered notes that the endpoint has sent a response head.
func (ep *Endpoint) answered(now time.Time) {
	ep.lastAnswer.Store(now.UnixNano())
	if !ep.accepted.Load() {
		ep.accepted.Store(true)
	}
}

// reached notes that a connection was made, even if the request failed.
func (ep *Endpoint) reached(e *wire.Error) {
	if (e.Outcome != wire.NotSent || e.Phase != wire.Connect) && !ep.accepted.Load() {
		ep.accepted.Store(true)
	}
}

func loopback(address string) bool {
	host, _ := wire.SplitHostPort(address)
	return host == "localhost" || strings.HasPrefix(host, "127.") || host == "::1"
}
