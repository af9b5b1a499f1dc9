package proxy

import (
	"context"
	"errors"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/access"
	"github.com/pillion-lb/pillion/proxy/limit"
)

// limits holds the counters of the gates of all routes.
type limits struct {
	store    *limit.Store    // nil if this instance counts for itself
	inFlight *limit.InFlight // nil is no bound
	scopes   []limitScope
}

// limitScope is the list of limits of one route, which other routes may share.
type limitScope struct {
	route string
	list  []*limit.Limit
}

// newLimits makes the limits of a configuration. Routes with the same list
// share one value.
func newLimits(cfg *config.Config, o Options) *limits {
	l := &limits{}
	if most := cfg.Process.ClientInFlight; most > 0 {
		l.inFlight = limit.NewInFlight(most)
	}
	if slices.ContainsFunc(cfg.Routes, func(r config.Route) bool { return len(r.RateLimits) > 0 }) {
		l.store = limit.NewStore(cfg, limit.Options{Logger: o.Logger, Token: o.AccessToken})
	}
	for i := range cfg.Routes {
		r := &cfg.Routes[i]
		if len(r.RateLimits) == 0 || l.of(r.RateLimitScope) != nil {
			continue
		}

		s := limitScope{route: r.RateLimitScope}
		for j := range r.RateLimits {
			s.list = append(s.list, limit.New(s.route, &r.RateLimits[j], cfg.Platform.LimitPlaces, l.store))
		}
		l.scopes = append(l.scopes, s)
	}

	return l
}

// of returns the list of a route by its name.
func (l *limits) of(route string) []*limit.Limit {
	for _, s := range l.scopes {
		if s.route == route {
			return s.list
		}
	}

	return nil
}

// gates makes the gates of the limits before authentication.
func (l *limits) gates(r *config.Route) (list []gate) {
	if l.inFlight != nil {
		list = append(list, &inFlightGate{l.inFlight})
	}

	return append(list, l.rateGates(r, false)...)
}

// claimGates makes the gates of the limits that count by verified claims.
func (l *limits) claimGates(r *config.Route) []gate { return l.rateGates(r, true) }

func (l *limits) rateGates(r *config.Route, byClaim bool) []gate {
	all, g := l.of(r.RateLimitScope), new(rateGate)
	for i := range r.RateLimits {
		if (r.RateLimits[i].By.Kind == config.ByClaim) == byClaim {
			g.list = append(g.list, newRateLimit(&r.RateLimits[i], all[i]))
		}
	}
	if len(g.list) == 0 {
		return nil
	}

	return []gate{g}
}

// states returns the state of the limits for the status page, or nil if there
// is no limit.
func (l *limits) states(now time.Time) *limit.States {
	if l.inFlight == nil && len(l.scopes) == 0 {
		return nil
	}

	states := new(limit.States)
	if l.inFlight != nil {
		states.InFlight = l.inFlight.State()
	}
	for _, s := range l.scopes {
		for _, each := range s.list {
			states.Limits = append(states.Limits, each.State(now))
		}
	}
	if len(l.scopes) > 0 {
		states.Store = l.store.Shown(now)
	}

	return states
}

// run keeps the store connected until ctx ends.
func (l *limits) run(ctx context.Context) {
	if l.store != nil {
		l.store.Run(ctx)
	}
}

// inFlightGate implements LB_CLIENT_IN_FLIGHT.
type inFlightGate struct{ clients *limit.InFlight }

var errClientInFlight = errors.New(
	"the client has as many requests in progress as LB_CLIENT_IN_FLIGHT allows")

func (g *inFlightGate) admit(x *exchange) *refusal {
	if x.inFlight = g.clients.Enter(limit.ClientKey(x.clientAddr())); x.inFlight {
		return nil
	}

	return &refusal{
		status: http.StatusTooManyRequests, reason: "in_flight", cause: errClientInFlight,
		fields: http.Header{"Retry-After": {"1"}},
	}
}

// leaveInFlight undoes the count of inFlightGate.
func (x *exchange) leaveInFlight() {
	if x.inFlight {
		x.p.limits.inFlight.Leave(limit.ClientKey(x.clientAddr()))
	}
}

// rateGate holds the items of LB_RATE_LIMIT that are checked together.
type rateGate struct{ list []rateLimit }

// rateLimit is one item of LB_RATE_LIMIT.
type rateLimit struct {
	*config.RateLimit
	limit  *limit.Limit
	paths  *access.DeniedPaths // nil for all
	reason string
	cause  error
}

func newRateLimit(c *config.RateLimit, l *limit.Limit) rateLimit {
	r := rateLimit{
		RateLimit: c, limit: l, reason: "rate:" + l.Name(),
		cause: errors.New("the limit " + l.Name() + " of LB_RATE_LIMIT is reached"),
	}
	if len(c.Paths) > 0 {
		r.paths = access.NewDeniedPaths(c.Paths)
	}

	return r
}

// admit charges the request to every limit that applies to it, even if one of
// them refuses it. If several refuse it, the one with the longest wait is the
// reason.
func (g *rateGate) admit(x *exchange) *refusal {
	var refused *rateLimit
	var longest time.Duration
	for i := range g.list {
		r := &g.list[i]
		if !r.holds(x) {
			continue
		}
		if early := r.limit.Take(r.key(x), time.Now(), &x.limitWait); early > longest {
			refused, longest = r, early
		}
	}
	if refused == nil {
		return nil
	}

	return &refusal{
		status: http.StatusTooManyRequests, reason: refused.reason, cause: refused.cause,
		fields: http.Header{"Retry-After": {seconds(longest)}},
	}
}

// seconds returns a time in whole seconds, rounded up.
func seconds(d time.Duration) string { return strconv.Itoa(int(math.Ceil(d.Seconds()))) }

// holds reports whether the limit applies to the request.
func (r *rateLimit) holds(x *exchange) bool {
	// A method in lower case is another method (RFC 9110 section 9.1), but some
	// apps take it for the same.
	if len(r.Methods) > 0 && !slices.Contains(r.Methods, strings.ToUpper(x.r.Method)) {
		return false
	}
	if r.paths == nil {
		return true
	}
	path, _ := x.received()

	return r.paths.Hold(path)
}

// key returns the key by which the request is counted. If the request has no
// value for it, or two, the client's address is the key, so leaving the value
// out does not evade the limit.
func (r *rateLimit) key(x *exchange) limit.Key {
	text := ""
	switch r.By.Kind {
	case config.ByAll:
		return limit.EveryoneKey()
	case config.ByHost:
		return limit.TextKey(config.ByHost, strings.ToLower(x.hop.Host))
	case config.ByHeader:
		text = only(x.r.Header[r.By.Name])
	case config.ByCookie:
		text = cookieOf(x.r.Header["Cookie"], r.By.Name)
	case config.ByClaim:
		if x.who != nil {
			text = x.who.Claim(r.By.Name)
		}
	}
	if text == "" {
		return limit.ClientKey(x.clientAddr())
	}

	return limit.TextKey(r.By.Kind, text)
}

// only returns the one line of a field, or "" if there are none or several.
func only(lines []string) string {
	if len(lines) != 1 {
		return ""
	}

	return lines[0]
}

// cookieOf returns the value of a cookie, or "" if there is none, or several
// with different values.
func cookieOf(lines []string, name string) (value string) {
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			n, v, ok := strings.Cut(strings.TrimSpace(pair), "=")
			if !ok || n != name {
				continue
			}
			if value != "" && v != value {
				return ""
			}
			value = v
		}
	}

	return value
}
