package proxy

import (
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/affinity"
	"github.com/pillion-lb/pillion/proxy/backend"
	"github.com/pillion-lb/pillion/proxy/cache"
	"github.com/pillion-lb/pillion/proxy/compress"
	"github.com/pillion-lb/pillion/proxy/files"
	"github.com/pillion-lb/pillion/proxy/route"
	"github.com/pillion-lb/pillion/proxy/rules"
)

// routing finds the route and the service of a request. It never changes,
// except its counters.
type routing struct {
	// table is nil if every request belongs to one route, which is only.
	table *route.Table
	// only is that one route. With a table, it is the unnamed route without a
	// service, for requests without a route.
	only   *routed
	routes []*routed      // by the table's rules
	counts []atomic.Int64 // requests by the table's items

	sessions    []string // names of the affinity cookies of all services
	carriers    []string // names of the carriers of all services
	shareCookie *affinity.ShareCookie
}

// routed is a route with everything that its settings need.
type routed struct {
	config.Route
	service *backend.Service // nil for a route that answers by itself

	named     bool // the service has to be named, because there are several
	plain     bool // none of the fields below is set
	gates     []gate
	overrides overrides
	files     *files.Dir
	errors    files.ErrorPages
	redirect  *rules.Redirect
	respond   *rules.Respond
	rewrite   rules.Rewrite
	cors      *rules.CORS
	request   *rules.SecretHeaders // nil for no rules
	response  rules.Headers
	mirror    *mirror         // nil for none
	compress  *compress.Rules // nil if nothing is compressed
	once      *routed         // the same without retries, for hedges; else nil
	cached    *cache.Counts   // requests by what the cache did

	responseHTTPS rules.Headers // the same as response for clients that use HTTPS
}

// RouteTable builds the table of a configuration's routes. It returns every
// problem in them. The table is nil if there is only one route and it matches
// every request.
func RouteTable(cfg *config.Config) (*route.Table, []config.Problem) {
	if len(cfg.Routes) == 1 && cfg.Routes[0].Name == "" && cfg.Routes[0].Items == "/*" {
		return nil, nil
	}

	return compileRoutes(cfg)
}

func compileRoutes(cfg *config.Config) (*route.Table, []config.Problem) {
	list := make([]route.Rule, 0, len(cfg.Routes))
	for i := range cfg.Routes {
		list = append(list, ruleOf(&cfg.Routes[i]))
	}
	by, err := route.ParseBy(cfg.Process.ShareBy)
	if err != nil {
		by = route.ByRequest // the variable's own check reports it
	}

	return route.Compile(list, by)
}

// ruleOf returns the table's rule for a route.
func ruleOf(r *config.Route) route.Rule {
	rule := route.Rule{
		Name: r.Title(), Variable: config.VariableOf("LB_ROUTE", r.Name), Text: r.Items, First: r.First,
		Action: action(r),
	}
	switch {
	case r.Redirect.Rest:
		rule.Rest = config.VariableOf("LB_REDIRECT", r.Name)
	case r.Rewrite.Rest:
		rule.Rest = config.VariableOf("LB_REWRITE", r.Name)
	}

	return rule
}

// action returns what a route does, in words.
func action(r *config.Route) string {
	switch {
	case r.Redirect.Given():
		return fmt.Sprintf("redirect %d %s", r.RedirectStatus, r.Redirect)
	case r.Respond != 0:
		return fmt.Sprintf("respond %d", r.Respond)
	case r.Files != "":
		return "files " + r.Files
	}

	words := "service " + r.ServiceTitle()
	if r.Rewrite.Given() {
		words += ", rewrite " + r.Rewrite.String()
	}
	if r.Mirror.Given() {
		words += ", mirror " + r.Mirror.String()
	}

	return words
}

// newRouting makes the routing of a configuration without problems. services
// are by their names.
func newRouting(
	cfg *config.Config, services map[string]*backend.Service, log *slog.Logger,
) *routing {
	g := &routing{}
	g.table, _ = RouteTable(cfg)
	for i := range cfg.Routes {
		r := newRouted(cfg, cfg.Routes[i], services)
		r.setFiles(log)
		g.routes = append(g.routes, r)
	}

	if g.table == nil {
		g.only = g.routes[0]
	} else {
		g.only = newRouted(cfg, cfg.Route, nil)
		g.counts = make([]atomic.Int64, len(g.table.Rows()))
		g.setShares(cfg)
	}
	g.setSessions(cfg)

	return g
}

func newRouted(cfg *config.Config, r config.Route, services map[string]*backend.Service) *routed {
	x := &routed{Route: r, named: cfg.NamesServices(), cached: new(cache.Counts)}
	if !r.Answers() {
		x.service = services[r.Service]
	}
	if services != nil {
		x.redirect = rules.NewRedirect(r.Redirect, r.RedirectStatus)
		x.rewrite = rules.NewRewrite(r.Rewrite)
		x.mirror = newMirror(&r, services)
		if r.Hedge > 0 {
			x.once = withoutRetries(&r)
		}
	}
	if r.Respond != 0 {
		x.respond = rules.NewRespond(r.Respond, bodyOf(&r))
	}
	x.errors = files.NewErrorPages(r.ErrorPages)
	x.cors = rules.NewCORS(r.CORS)
	x.compress = compress.NewRules(&r.Compress)

	x.response, x.responseHTTPS = responseRules(cfg, &r, false), responseRules(cfg, &r, true)
	x.request = requestRules(cfg, &r)

	x.plain = x.redirect == nil && x.respond == nil && x.cors == nil && x.request == nil &&
		!r.Rewrite.Given() &&
		x.service != nil && r.MaxBodyBytes == 0
	return x
}

// withoutRetries returns a route's settings for a single attempt.
func withoutRetries(r *config.Route) *routed {
	once := *r
	once.Retry = config.Retry{}

	return &routed{Route: once}
}

// setFiles makes the files.Dir and the pages of the route.
func (r *routed) setFiles(log *slog.Logger) {
	if r.Files != "" {
		r.files = files.New(files.Options{
			Directory: r.Files, Index: r.FilesIndex, Fallback: r.FilesFallback, Logger: log,
		})
	}
}

// responseRules returns the rules of LB_SECURITY_HEADERS, the unnamed rules and
// those of the route, in this order.
func responseRules(cfg *config.Config, r *config.Route, secure bool) rules.Headers {
	var lists []config.HeaderRules
	if r.SecurityHeaders {
		lists = append(lists, rules.SecurityHeaders(secure))
	}
	lists = append(lists, cfg.Route.ResponseHeaders)
	if r.Name != "" {
		lists = append(lists, r.ResponseHeaders)
	}

	return rules.NewHeaders(lists...)
}

// requestRules returns the unnamed rules and those of the route.
func requestRules(cfg *config.Config, r *config.Route) *rules.SecretHeaders {
	unnamed, named := cfg.Route.RequestHeaders, r.RequestHeaders
	if r.Name == "" {
		named = nil
	}
	if unnamed == nil && named == nil {
		return nil
	}

	return rules.NewSecretHeaders(unnamed, named)
}

// bodyOf returns the body of a fixed answer, or nil for the text of its status.
func bodyOf(r *config.Route) rules.Body {
	switch {
	case r.RespondPage != nil:
		return files.NewPage(r.RespondPage)
	case r.RespondBody != "":
		return rules.Text(r.RespondBody)
	}

	return nil
}

// setSessions collects the names of all affinity cookies and carriers.
func (g *routing) setSessions(cfg *config.Config) {
	for i := range cfg.Services {
		if a := &cfg.Services[i].Affinity; a.Cookie {
			g.sessions = append(g.sessions, a.CookieName)
		}
		if a := &cfg.Services[i].Affinity; a.Cookie && !a.BackendCookies.None() {
			g.carriers = append(g.carriers, affinity.CarrierName(a.CookieName))
		}
	}
}

// setShares makes the cookie with a browser's number, if shares are drawn by
// it.
func (g *routing) setShares(cfg *config.Config) {
	by, _ := route.ParseBy(cfg.Process.ShareBy)
	if by.Browser() && g.table.Shares() {
		g.shareCookie = &affinity.ShareCookie{
			Name: cfg.Process.ShareCookie, TTL: cfg.Process.ShareCookieLife,
			SameSite: cfg.Service.Affinity.SameSite,
		}
	}
}
