package proxy

import (
	"errors"
	"net/http"
	"slices"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/access"
	"github.com/pillion-lb/pillion/proxy/auth"
)

// addGates makes the gates of all routes.
func (p *Proxy) addGates(o Options) {
	takesTokens := func(r config.Route) bool { return len(r.Auth.Providers) > 0 }
	if slices.ContainsFunc(p.cfg.Routes, takesTokens) {
		p.keys = auth.New(auth.Options{Logger: o.Logger, Metadata: o.Metadata, Platform: p.cfg.Platform})
		if o.Meter != nil {
			observeKeys(o.Meter, p.keys)
		}
	}
	table := overridesOfTable(p.routing.table, p.cfg.Routes)
	for _, r := range p.routing.routes {
		r.gates = p.newGates(&r.Route)
		r.overrides = overridesOf(&r.Route, table)
		r.plain = r.plain && len(r.gates) == 0 && r.overrides == overrides{}
	}
}

// newGates makes the gates of a route, in the order of the checks: cheap ones
// come first, and rate limits before checks of signatures.
func (p *Proxy) newGates(r *config.Route) []gate {
	var list []gate
	if a := &r.Access; len(a.Methods) > 0 {
		list = append(list, newMethodGate(a.Methods))
	}
	list = append(list, pathGates(&r.Access)...)
	list = append(list, addressGates(&r.Access)...)
	list = append(list, p.limits.gates(r)...)
	if g := newAuthGate(&r.Auth, p.keys, &p.failures, r.RateLimits.Claims()); g != nil {
		list = append(list, g)
	}
	list = append(list, p.limits.claimGates(r)...)

	return list
}

// The causes of refusals, for the log.
var (
	errMethodRefused  = errors.New("LB_ALLOW_METHODS does not name the method")
	errPathDenied     = errors.New("LB_DENY_PATHS names the path")
	errPathRefused    = errors.New("LB_ALLOW_PATHS does not name the path")
	errAddressDenied  = errors.New("LB_DENY_FROM names the client's network")
	errAddressRefused = errors.New("LB_ALLOW_FROM does not name the client's network")
)

// methodGate implements LB_ALLOW_METHODS.
type methodGate struct {
	methods *access.Methods
	refused refusal
}

func newMethodGate(list []string) *methodGate {
	g := &methodGate{methods: access.NewMethods(list)}
	g.refused = refusal{
		status: http.StatusMethodNotAllowed, reason: "method", cause: errMethodRefused,
		fields: http.Header{"Allow": {g.methods.Field()}},
	}

	return g
}

func (g *methodGate) admit(x *exchange) *refusal {
	if g.methods.Allow(x.r.Method) {
		return nil
	}

	return &g.refused
}

// pathGates makes the gates of LB_DENY_PATHS and LB_ALLOW_PATHS.
func pathGates(a *config.Access) (list []gate) {
	if len(a.DenyPaths) > 0 {
		list = append(list, &pathGate{
			holds:   access.NewDeniedPaths(a.DenyPaths).Hold,
			denies:  true,
			refused: refusal{status: http.StatusNotFound, reason: "path", cause: errPathDenied},
		})
	}
	if len(a.AllowPaths) > 0 {
		list = append(list, &pathGate{
			holds:   access.NewAllowedPaths(a.AllowPaths).Hold,
			refused: refusal{status: http.StatusNotFound, reason: "path", cause: errPathRefused},
		})
	}

	return list
}

type pathGate struct {
	holds   func(path string) bool
	denies  bool // it refuses what the list holds; otherwise what the list does not hold
	refused refusal
}

func (g *pathGate) admit(x *exchange) *refusal {
	path, _ := x.received()
	if path == "" {
		path = "/" // of a target in absolute form (RFC 9112 section 3.2.1)
	}
	if g.holds(path) == g.denies {
		return &g.refused
	}

	return nil
}

// addressGates makes the gates of LB_DENY_FROM and LB_ALLOW_FROM.
func addressGates(a *config.Access) (list []gate) {
	if len(a.DenyFrom) > 0 {
		list = append(list, &addressGate{
			networks: access.NewNetworks(a.DenyFrom),
			denies:   true,
			refused:  refusal{status: http.StatusForbidden, reason: "address", cause: errAddressDenied},
		})
	}
	if len(a.AllowFrom) > 0 {
		list = append(list, &addressGate{
			networks: access.NewNetworks(a.AllowFrom),
			refused:  refusal{status: http.StatusForbidden, reason: "address", cause: errAddressRefused},
		})
	}

	return list
}

type addressGate struct {
	networks *access.Networks
	denies   bool // it refuses what the list holds; otherwise what the list does not hold
	refused  refusal
}

func (g *addressGate) admit(x *exchange) *refusal {
	a := x.clientAddr()
	if !a.IsValid() || g.networks.Hold(a) == g.denies {
		return &g.refused
	}

	return nil
}

// keyedByClient reports whether a route decides by the client's address. If the
// address of a proxy is taken for it, all clients count as one.
func keyedByClient(r *config.Route) bool {
	return len(r.Access.AllowFrom) > 0 || len(r.Access.DenyFrom) > 0 ||
		r.Auth.Basic != nil && r.Auth.Basic.Value() != "" || // wrong passwords block a client
		slices.ContainsFunc(r.RateLimits, func(l config.RateLimit) bool {
			// All other kinds use the client's address if their value is missing.
			return l.By.Kind != config.ByAll && l.By.Kind != config.ByHost
		})
}
