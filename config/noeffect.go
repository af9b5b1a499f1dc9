package config

import (
	"maps"
	"slices"
	"strings"
)

// NoEffect returns the variables that are set but have no effect. Either
// another setting turns off their feature, or their name is a misspelt variable
// of OpenTelemetry. They are warnings, not errors.
func (c *Config) NoEffect() []Problem { return c.noEffect }

// idle is a group of variables that have no effect under a condition.
type idle struct {
	names []string // a name that ends in "_" stands for all variables with this prefix
	while func(c *Config, s *Service, r *Route) bool
	why   string
}

// idleVariables returns the table of these groups.
func idleVariables() []idle {
	return []idle{
		{
			[]string{"LB_AFFINITY_"},
			func(_ *Config, s *Service, _ *Route) bool { return !s.Affinity.Cookie },
			"LB_SESSION_AFFINITY is none",
		},
		{
			[]string{"LB_HEALTH_CHECK_"},
			func(_ *Config, s *Service, _ *Route) bool { return s.Health.Check.Kind() == NoCheck },
			"LB_HEALTH_CHECK is off",
		},
		{
			[]string{"LB_HEALTH_CHECK_STATUS"},
			func(_ *Config, s *Service, _ *Route) bool {
				return s.Health.Check.Kind() == TCPCheck || s.Health.Check.Kind() == GRPCCheck
			},
			"LB_HEALTH_CHECK is no path",
		},
		{
			[]string{"LB_QUEUE_SIZE", "LB_QUEUE_TIMEOUT"},
			func(_ *Config, s *Service, _ *Route) bool { return s.MaxInFlight == 0 },
			"LB_MAX_IN_FLIGHT is not set",
		},
		{
			[]string{"LB_EJECT_TIME", "LB_EJECT_MAX", "LB_EJECT_STATUS"},
			func(_ *Config, s *Service, _ *Route) bool { return s.Eject.Errors == 0 && s.Eject.Rate == 0 },
			"LB_EJECT_ERRORS and LB_EJECT_RATE are 0",
		},
		{
			[]string{"LB_RETRY_STATUS"},
			func(_ *Config, _ *Service, r *Route) bool { return r.Retry.Attempts == 0 },
			"LB_RETRIES is 0",
		},
		{
			[]string{"LB_STATUS_TOKEN"},
			func(c *Config, _ *Service, _ *Route) bool { return c.Process.StatusPath == "" },
			"LB_STATUS_PATH is none",
		},
		{
			[]string{"LB_CACHE_"},
			func(c *Config, _ *Service, r *Route) bool { return !c.Caches() },
			"LB_CACHE is off",
		},
		{
			[]string{"LB_COMPRESS_"},
			func(c *Config, _ *Service, r *Route) bool { return !c.Compresses() },
			"LB_COMPRESS is off",
		},
		{
			[]string{"LB_CORS_"},
			func(_ *Config, _ *Service, r *Route) bool { return len(r.CORS.Origins) == 0 },
			"LB_CORS_ORIGINS is not set",
		},
		{
			[]string{"LB_RATE_LIMIT_"},
			func(c *Config, _ *Service, _ *Route) bool {
				return !slices.ContainsFunc(c.Routes, func(r Route) bool { return len(r.RateLimits) > 0 })
			},
			"LB_RATE_LIMIT is not set",
		},
		{
			[]string{
				"OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_BSP_",
				"LB_TRACE_PLATFORM_UNSAMPLED",
			},
			func(c *Config, _ *Service, _ *Route) bool { return !c.Telemetry.Traces() },
			"no traces are exported: neither an exporter nor an endpoint is set",
		},
	}
}

// idle returns the variables without effect, for the unnamed scope and for each
// name.
func (e *environment) idle(c *Config) (list []Problem) {
	for _, scope := range e.scopes() {
		for _, group := range idleVariables() {
			if !group.idles(c, scope) {
				continue
			}
			for _, v := range e.table {
				if group.has(v.Name) && (scope == "" || v.hasNames()) {
					list = append(list, e.idleForm(v, scope, group.why)...)
				}
			}
		}
	}

	return append(list, e.nearlyTelemetry()...)
}

// idleForm returns the warning about a variable of one scope, if it is set. A
// variable that only states the default again gets none.
func (e *environment) idleForm(v Variable, scope, why string) (list []Problem) {
	own := v.named(scope)
	names := []string{own.Name}
	if v.hasFile() {
		names = append(names, own.fileName())
	}
	for _, name := range names {
		switch given := e.given[name]; given {
		case "", "none", "off", "false", v.Default:
		default:
			list = append(list, Problem{Variable: name, Given: mask, Reason: "has no effect: " + why})
		}
	}

	return list
}

// idles reports whether a group has no effect in a scope. A variable without a
// name is inherited by all names, so it must have no effect for any of them.
func (i idle) idles(c *Config, scope string) bool {
	if scope != "" {
		s, r := c.scopeOf(strings.ToLower(scope))
		return i.while(c, s, r)
	}

	for at := range c.Services {
		if !i.while(c, &c.Services[at], &c.Route) {
			return false
		}
	}
	for at := range c.Routes {
		if !i.while(c, &c.Service, &c.Routes[at]) {
			return false
		}
	}

	return i.while(c, &c.Service, &c.Route)
}

// has reports whether the group has a variable.
func (i idle) has(name string) bool {
	return slices.ContainsFunc(i.names, func(n string) bool {
		return n == name || strings.HasSuffix(n, "_") && strings.HasPrefix(name, n)
	})
}

// scopeOf returns the service and the route of a name. If the name has only one
// of the two, the other is the unnamed one.
func (c *Config) scopeOf(name string) (*Service, *Route) {
	s, r := &c.Service, &c.Route
	for i := range c.Services {
		if c.Services[i].Name == name {
			s = &c.Services[i]
		}
	}
	for i := range c.Routes {
		if c.Routes[i].Name == name {
			r = &c.Routes[i]
		}
	}

	return s, r
}

// nearlyTelemetry returns names that begin with OTEL_ and differ by a typing
// error from a variable that Pillion reads. Other names may belong to other
// programs.
func (e *environment) nearlyTelemetry() (list []Problem) {
	var known []string
	for _, v := range e.table {
		if strings.HasPrefix(v.Name, "OTEL_") {
			known = append(known, v.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.given)) {
		if !strings.HasPrefix(name, "OTEL_") || slices.Contains(known, name) {
			continue
		}
		if best := nearest(name, known); distance(name[:min(len(name), 64)], best) <= 2 {
			list = append(list, Problem{
				Variable: name, Given: mask,
				Reason: "has no effect: it is no variable of OpenTelemetry; the nearest is " + best,
			})
		}
	}

	return list
}
