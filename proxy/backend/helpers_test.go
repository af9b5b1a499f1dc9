package backend

import (
	"testing"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery"
	"github.com/pillion-lb/pillion/proxy/internal/proxytest"
)

// The short names of the helpers that this package's tests share with others.
type (
	upstreamFunc = proxytest.Upstream
	logBook      = proxytest.Log
)

var (
	answer     = proxytest.Answer
	noAnswer   = proxytest.NoAnswer
	testConfig = proxytest.Config
	named      = proxytest.Backends
)

// testService makes a service of which every backend is served by what
// upstreams says of its name.
func testService(t testing.TB, o Options, upstreams func(name string) upstreamFunc, env ...string) *Service {
	t.Helper()
	if upstreams != nil {
		o.Dial = func(b discovery.Backend) (Transport, Transport) {
			return upstreams(b.Name), upstreams(b.Name)
		}
	}

	cfg := testConfig(t, env...)
	o.UntrustedClients = cfg.Process.Role == config.Ingress

	return New(cfg.Service, o)
}

// serviceState is the state of one endpoint.
func serviceState(t testing.TB, s *Service, name string) State {
	t.Helper()
	for _, st := range s.States() {
		if st.Name == name {
			return st
		}
	}

	t.Fatalf("no endpoint %s", name)

	return State{}
}
