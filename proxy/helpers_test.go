package proxy

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/discovery"
	"github.com/pillion-lb/pillion/proxy/backend"
	"github.com/pillion-lb/pillion/proxy/internal/proxytest"
	"github.com/pillion-lb/pillion/proxy/wire"
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

// testProxy makes a proxy of which every backend is served by what upstreams
// says of its name.
func testProxy(t testing.TB, o Options, upstreams func(name string) upstreamFunc, env ...string) *Proxy {
	t.Helper()
	if upstreams != nil {
		o.dial = func(b discovery.Backend) (backend.Transport, backend.Transport) {
			return upstreams(b.Name), upstreams(b.Name)
		}
	}

	return New(testConfig(t, env...), o)
}

// refused is the error of an endpoint whose port is closed.
func refused() error {
	return &wire.Error{Outcome: wire.NotSent, Phase: wire.Connect, Err: errRefused}
}

const errRefused = syscall.ECONNREFUSED

// stateOf is the state of one endpoint.
func stateOf(t testing.TB, p *Proxy, name string) backend.State {
	t.Helper()
	for _, st := range p.Backends() {
		if st.Name == name {
			return st
		}
	}

	t.Fatalf("no endpoint %s", name)
	return backend.State{}
}

// outcomes has requests that begin now fail or succeed at one endpoint, as far
// as its service knows.
func outcomes(t testing.TB, p *Proxy, name string, ok bool, n int) {
	t.Helper()
	reporter(t, p, name)(ok, n)
}

// reporter is outcomes for an endpoint that has a place free now, and may have
// none when the outcomes are known.
func reporter(t testing.TB, p *Proxy, name string) func(ok bool, n int) {
	t.Helper()

	c := backend.Claim{Context: t.Context(), Start: time.Now()}
	if err := p.service.Begin(&c, nil); err != nil {
		t.Fatal(err)
	}

	for {
		place, err := p.service.Take(&c)
		if err != nil {
			t.Fatal(err)
		}

		place.EndTrial()
		place.Release()

		if place.Name == name {
			return func(ok bool, n int) {
				result := backend.Succeeded
				if !ok {
					result = backend.Broken
				}
				for range n {
					place.Report(&backend.Outcome{Result: result, Began: time.Now(), Ended: time.Now()})
				}
			}
		}
	}
}

// oneToken has a token for everything.
type oneToken struct{}

func (oneToken) Token(_ context.Context, audience string) (string, error) {
	return "token-for-" + audience, nil
}
func (oneToken) Rejected(string) {}

// noToken has none.
type noToken struct{ oneToken }

func (noToken) Token(context.Context, string) (string, error) { return "", errors.New("no metadata") }
