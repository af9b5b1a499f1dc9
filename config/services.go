package config

import (
	"fmt"
	"slices"
	"strings"
)

// services fills in the services and routes: the unnamed ones, and one for each
// name.
func (e *environment) services(c *Config) {
	e.followPages(&c.Route, nil)
	unnamed := e.hasBackends(c) || !c.Route.Answers() && len(e.names) == 0
	c.Service.Affinity.KeyName = e.keyName("")
	if unnamed {
		c.Services = append(c.Services, c.Service)
	}
	if unnamed || c.Route.Answers() || e.given["LB_ROUTE"] != "" || e.given["LB_SERVICE"] != "" {
		c.Routes = append(c.Routes, c.Route)
	}

	for _, name := range e.scopes()[1:] {
		scoped := e.in(name)
		if e.names[name] {
			c.Services = append(c.Services, scoped.namedService(c))
		}
		c.Routes = append(c.Routes, scoped.namedRoute(c))
		e.problems = append(e.problems, scoped.problems...)
		e.files = append(e.files, scoped.files...)
	}

	e.rateLimitScopes(c)
	c.Process.ShareCookie = e.shareCookie()
	c.Process.ShareCookieLife = shareCookieLife(c.Services)
}

// namedService returns the service of this scope. What is not given for it
// comes from the unnamed service, also from files.
func (e *environment) namedService(c *Config) Service {
	s := decoded[Service](e)
	s.Name = strings.ToLower(e.name)
	s.Affinity.KeyName = e.keyName(s.Name)
	e.secretFiles(&s)

	if e.follow(&s); s.Roots == nil {
		s.Roots = c.Service.Roots
	}
	if s.Affinity.Secret == nil {
		s.Affinity.Secret = c.Service.Affinity.Secret
	}

	return s
}

// namedRoute returns the route of this scope. What is not given for it comes
// from the unnamed route, also from files.
func (e *environment) namedRoute(c *Config) Route {
	r := decoded[Route](e)
	r.Name = strings.ToLower(e.name)
	e.secretFiles(&r)
	e.followPages(&r, &c.Route)

	if _, given := e.good[e.full("LB_BASIC_AUTH")]; !given && r.Auth.Basic == nil {
		r.Auth.Basic = c.Route.Auth.Basic
	}
	if _, given := e.good[e.full("LB_SERVICE")]; !given && e.names[e.name] {
		r.Service = r.Name
	}

	return r
}

// hasBackends reports whether the unnamed service has backends. If there are
// names, metadata attributes don't replace LB_BACKENDS.
func (e *environment) hasBackends(c *Config) bool {
	if _, given := e.given["LB_BACKENDS"]; given {
		return true
	}

	return len(e.names) == 0 && (c.Platform.ComputeEngine || c.Platform.MetadataHost != "")
}

// validateRoutes checks the rules between variables of services and routes.
func (e *environment) validateRoutes(c *Config) {
	for _, name := range e.scopes() {
		scoped := e.in(name)
		scoped.validateRoute(c)
		e.problems = append(e.problems, scoped.problems...)
	}
	e.validateHTTPS(c)
}

// validateRoute checks the variables of one name.
func (e *environment) validateRoute(c *Config) {
	if e.name != "" {
		e.reachable()
	}
	e.oneAction()
	e.validateService(c)
	e.validateBody()
	e.validateFiles()
	e.validateMirror(c)
	e.validateLimits(c)
	e.validateAuth(c)

	if _, given := e.good[e.full("LB_ROUTE_FIRST")]; given && e.text("LB_ROUTE") == "" {
		e.fault("LB_ROUTE_FIRST", "is set but LB_ROUTE is not")
	}
	if e.text("LB_CORS_ORIGINS") == "*" && e.text("LB_CORS_CREDENTIALS") == "true" {
		e.fault("LB_CORS_CREDENTIALS",
			"is true while LB_CORS_ORIGINS is '*': browsers accept no such answer; name the origins")
	}
}

// full returns the name of a variable in this scope.
func (e *environment) full(base string) string { return e.rows[base].named(e.name).Name }

// fault adds a problem with a variable of this scope.
func (e *environment) fault(base, reason string) {
	v := e.rows[base].named(e.name)
	given := e.given[v.Name]
	if v.Secret {
		given = mask
	}
	e.problems = append(e.problems, Problem{
		Variable: v.Name, Given: clip(withoutUserInfo(given)), Reason: reason, Accepted: v.Accepted(),
		Example: v.Name + "='" + v.Example + "'",
	})
}

// reachable requires a route to every service. Otherwise its backends would get
// no requests, unnoticed.
func (e *environment) reachable() {
	_, given := e.given[e.full("LB_ROUTE")]
	small := strings.ToLower(e.name)
	switch {
	case e.names[e.name] && !given:
		e.fault("LB_BACKENDS", fmt.Sprintf("no route leads to service %s: set LB_ROUTE__%s "+
			"(LB_ROUTE__%[2]s='none' if only others refer to it)",
			small, e.name))
	case !e.names[e.name] && e.text("LB_ROUTE") == "none":
		e.fault("LB_ROUTE", fmt.Sprintf("is none, but %s has no backends that others could use", small))
	}
}

// actions are the variables for what a route does. A route has one action.
var actions = [...]string{"LB_SERVICE", "LB_REDIRECT", "LB_RESPOND", "LB_FILES"}

func (e *environment) oneAction() {
	var given []string
	for _, base := range slices.Concat(actions[:], []string{"LB_BACKENDS"}) {
		_, ours := e.given[e.full(base)]
		// its backends may be for other routes only
		both := base == "LB_BACKENDS" && len(given) == 1 && given[0] == "LB_SERVICE"
		if ours && !both {
			given = append(given, base)
		}
	}
	if len(given) < 2 {
		return
	}

	e.fault(given[1], fmt.Sprintf("route %s has two actions: %s and %s",
		title(strings.ToLower(e.name)), e.full(given[0]), e.full(given[1])))
}

// validateService requires the service of a route to exist.
func (e *environment) validateService(c *Config) {
	name, given := e.good[e.full("LB_SERVICE")]
	if given {
		if c.ServiceNamed(name) != nil {
			return
		}
		e.fault("LB_SERVICE", fmt.Sprintf("%q is no service; the nearest is %s",
			title(name), nearest(name, serviceTitles(c))))
		return
	}

	for _, base := range actions[1:] {
		if _, answers := e.given[e.full(base)]; answers {
			return
		}
	}
	_, routed := e.given[e.full("LB_ROUTE")]
	if routed && !e.names[e.name] && c.ServiceNamed("") == nil {
		e.fault("LB_ROUTE", fmt.Sprintf("route %s has no action: there is no service default, so it "+
			"needs %s, %s, %s, %s or %s",
			title(strings.ToLower(e.name)), e.full("LB_SERVICE"), e.full("LB_REDIRECT"),
			e.full("LB_RESPOND"), e.full("LB_FILES"),
			e.full("LB_BACKENDS")))
	}
}

func serviceTitles(c *Config) []string {
	titles := make([]string, 0, len(c.Services))
	for i := range c.Services {
		titles = append(titles, c.Services[i].Title())
	}
	if len(titles) == 0 {
		return []string{DefaultName}
	}

	return titles
}

// validateBody requires at most one body, and a status for it.
func (e *environment) validateBody() {
	_, body := e.given[e.full("LB_RESPOND_BODY")]
	_, file := e.given[e.full("LB_RESPOND_FILE")]
	if _, status := e.given[e.full("LB_RESPOND")]; !status && (body || file) {
		given := e.full("LB_RESPOND_BODY")
		if !body {
			given = e.full("LB_RESPOND_FILE")
		}
		e.fault("LB_RESPOND", "is not set but "+given+" is")
	}
	if body && file {
		e.fault("LB_RESPOND_FILE",
			"is given together with "+e.full("LB_RESPOND_BODY")+": one of the two is enough")
	}
}

// validateHTTPS requires a certificate or a trusted proxy, by which Pillion
// knows whether the client used HTTPS.
func (e *environment) validateHTTPS(c *Config) {
	p := &c.Process
	if p.HTTPSRedirect && p.TrustedProxies.none() && p.TLSCertFile == "" {
		e.fault("LB_HTTPS_REDIRECT",
			"would redirect for ever: nobody who is trusted tells how the client came, and there is "+
				"no certificate; set LB_TRUSTED_PROXIES or LB_TLS_CERT_FILE")
	}
}
