package proxy

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery"
	"github.com/pillion-lb/pillion/proxy/h1"
)

// upstream sends one attempt to one endpoint. An error is an *h1.Error.
type upstream interface {
	Send(r *http.Request, c *h1.Call) (*http.Response, error)
	Idle() int
	CloseIdle()
}

// endpoint is the proxy's live record of a backend. It outlives snapshots: as long as discovery publishes the same
// backend, its health, its ejection, its connections and what it has in flight stay.
type endpoint struct {
	name     string
	server   discovery.Backend // the backend without what may change under it: weight, priority and source are zero
	host     string            // Host that requests carry; "" keeps the client's
	origin   string            // scheme://host of the target, for Location
	addr     string            // host and port of the target, as spans name them
	port     int
	audience string
	loopback bool

	http1 upstream
	http2 upstream

	inFlight   atomic.Int64
	requests   atomic.Uint64
	failures   atomic.Uint64
	accepted   atomic.Bool  // a connection to it was ever made
	lastAnswer atomic.Int64 // when the last response head came, in Unix nanoseconds

	health health
}

// newEndpoint makes the live record of a backend; nothing is dialled.
func (s *service) newEndpoint(b discovery.Backend) *endpoint {
	ep := &endpoint{
		name:     b.Name,
		server:   server(b),
		host:     s.hostFor(b),
		origin:   "http://" + b.Host,
		audience: b.Audience,
		loopback: loopback(b.Address),
	}
	if b.TLS {
		ep.origin = "https://" + b.Host
	}
	ep.addr, ep.port = splitAddress(b.Address)
	ep.http1, ep.http2 = s.dial(b)
	ep.health.init()
	return ep
}

// server is a backend without what may change while it stays the same server.
func server(b discovery.Backend) discovery.Backend {
	b.Weight, b.Priority, b.Source = 0, 0, ""
	return b
}

// upstreamFor says which of the endpoint's two transports a request takes: gRPC goes over HTTP/2, upgrades never do.
func (s *service) upstreamFor(ep *endpoint, x *exchange) upstream {
	if !x.upgrade && (s.overHTTP2(ep) || x.grpc && s.protocol(ep) != config.HTTP1) {
		return ep.http2
	}
	return ep.http1
}

// protocol is what an endpoint's target asks for, or else LB_PROTOCOL.
func (s *service) protocol(ep *endpoint) config.Protocol {
	if p := ep.server.Protocol; p != config.Auto && p != "" {
		return p
	}
	return s.cfg.Protocol
}

// overHTTP2 reports whether an endpoint is said to speak HTTP/2.
func (s *service) overHTTP2(ep *endpoint) bool {
	p := s.protocol(ep)
	return p == config.H2 || p == config.H2C
}

// answered notes that a response head came from the endpoint.
func (ep *endpoint) answered(now time.Time) {
	ep.lastAnswer.Store(now.UnixNano())
	if !ep.accepted.Load() {
		ep.accepted.Store(true)
	}
}

// reached notes that a connection to the endpoint was made, whatever came of the request.
func (ep *endpoint) reached(e *h1.Error) {
	if (e.Outcome != h1.NotSent || e.Phase != h1.Connect) && !ep.accepted.Load() {
		ep.accepted.Store(true)
	}
}

func loopback(address string) bool {
	host, _ := splitAddress(address)
	return host == "localhost" || strings.HasPrefix(host, "127.") || host == "::1"
}
