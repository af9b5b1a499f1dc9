package proxy

import (
	"slices"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/route"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// overrides are the fields that a route removes, because frameworks replace the
// path or the method by their values. What routes and gates decide by is what
// the backend acts on.
type overrides struct{ method, path bool }

// overridesOf returns those of a route. table has those of all routes.
func overridesOf(r *config.Route, table overrides) overrides {
	limits := func(of func(config.RateLimit) bool) bool {
		return slices.ContainsFunc(r.RateLimits, of)
	}
	skips := len(r.Auth.Skip.Paths) > 0

	return overrides{
		method: table.method || len(r.Access.Methods) > 0 || skips ||
			limits(func(l config.RateLimit) bool { return len(l.Methods) > 0 }),
		path: table.path || len(r.Access.DenyPaths) > 0 || len(r.Access.AllowPaths) > 0 || skips ||
			limits(func(l config.RateLimit) bool { return len(l.Paths) > 0 }),
	}
}

// overridesOfTable returns those of all routes. If routes differ by their
// paths, a field with another path would lead around the gates, the fixed
// answers and the absence of a route. A method leads around gates only.
func overridesOfTable(t *route.Table, routes []config.Route) overrides {
	if t == nil {
		return overrides{}
	}

	return overrides{
		method: t.ByMethod() && slices.ContainsFunc(routes, guarded),
		path:   t.ByPath(),
	}
}

// guarded reports whether a route has a gate.
func guarded(r config.Route) bool {
	a := &r.Access

	return len(a.Methods) > 0 || len(a.AllowPaths) > 0 || len(a.DenyPaths) > 0 ||
		len(a.AllowFrom) > 0 || len(a.DenyFrom) > 0 || r.Auth.On() || len(r.RateLimits) > 0
}

// dropOverrides removes the fields that the route removes, in every spelling.
func (x *exchange) dropOverrides() {
	drop := x.route.overrides
	if drop == (overrides{}) {
		return
	}
	for name := range x.r.Header {
		switch o := wire.OverrideOf(name); {
		case o == wire.OverridesMethod && drop.method, o == wire.OverridesPath && drop.path:
			x.hop.Replace(name, "")
		}
	}
}
