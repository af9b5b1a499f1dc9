package config

// Gate is a setting that can refuse requests, with the routes for which it is
// on.
type Gate struct {
	Name   string   `json:"name"`             // name of the variable
	Routes []string `json:"routes,omitempty"` // nil: all routes
}

// Gates returns the gates that are on.
func (c *Config) Gates() (list []Gate) {
	for _, g := range []struct {
		name string
		on   func(r *Route) bool
	}{
		{"LB_ALLOW_METHODS", func(r *Route) bool { return len(r.Access.Methods) > 0 }},
		{"LB_DENY_PATHS", func(r *Route) bool { return len(r.Access.DenyPaths) > 0 }},
		{"LB_ALLOW_PATHS", func(r *Route) bool { return len(r.Access.AllowPaths) > 0 }},
		{"LB_DENY_FROM", func(r *Route) bool { return len(r.Access.DenyFrom) > 0 }},
		{"LB_ALLOW_FROM", func(r *Route) bool { return len(r.Access.AllowFrom) > 0 }},
		{"LB_CLIENT_IN_FLIGHT", func(*Route) bool { return c.Process.ClientInFlight > 0 }},
		{"LB_RATE_LIMIT", func(r *Route) bool { return len(r.RateLimits) > 0 }},
		{"LB_AUTH", func(r *Route) bool { return len(r.Auth.Providers) > 0 }},
		{"LB_BASIC_AUTH", func(r *Route) bool {
			return r.Auth.Basic != nil &&
				r.Auth.Basic.Value() != ""
		}},
		{"LB_TLS_CLIENT_CA_FILE", func(*Route) bool { return c.Process.ClientRoots != nil }},
	} {
		var routes []string
		for i := range c.Routes {
			if r := &c.Routes[i]; g.on(r) {
				routes = append(routes, r.Title())
			}
		}
		switch len(routes) {
		case 0:
		case len(c.Routes):
			list = append(list, Gate{Name: g.name})
		default:
			list = append(list, Gate{g.name, routes})
		}
	}

	return list
}
