package proxy

import (
	"errors"
	"net/http"
	"strings"

	"github.com/pillion-lb/pillion/proxy/affinity"
	"github.com/pillion-lb/pillion/proxy/edge"
	"github.com/pillion-lb/pillion/proxy/route"
	"github.com/pillion-lb/pillion/proxy/rules"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// routeState holds the route of an exchange and what is known about it.
type routeState struct {
	route  *routed        // never nil: see routing.only
	match  route.Match    // of the table
	asked  *route.Request // the question to the table; nil without a table
	prefix string         // path of the item that takes the request
	target string         // for the service; "" is as received
	origin []string       // Origin as the client sent it, if the route has CORS

	settled []string // names of fields that the route's rules set or remove

	refusal http.Header // fields of an error from a gate or from the route's files

	preflight bool // the answer is to a preflight, and has all of its CORS fields
}

// The causes of errors that Pillion answers by itself, for the log.
var (
	errNoRoute = errors.New("no route takes the request")
	errClimbs  = errors.New("the path leads out of the one that LB_REWRITE makes")
)

// enter finds the request's route, and does the route's steps that come before
// its service. It reports whether the service has to be asked. If not, the
// request was answered.
func (x *exchange) enter() bool {
	p := x.p
	x.noteOrigin()
	if p.cfg.Process.HTTPSRedirect && x.sendToHTTPS() {
		return false
	}
	if p.routing.table != nil {
		if !x.findRoute() {
			return false
		}
		x.noteOrigin()
	}

	r := x.route
	x.service = r.service
	if r.named && r.service != nil {
		x.record.Service = r.ServiceTitle()
	}
	if r.RequestTimeout > 0 {
		x.deadline = x.record.Start.Add(r.RequestTimeout)
		x.claim.Deadline = x.deadline
	}
	if r.plain {
		return true
	}

	if r.MaxBodyBytes > 0 && x.r.ContentLength > r.MaxBodyBytes {
		x.fail(ending{http.StatusRequestEntityTooLarge, "us", "request"}, errTooLarge)
		return false
	}

	return !x.answeredPreflight() && x.admitted() && !x.answeredByRoute() && x.changeRequest()
}

// answeredPreflight answers a preflight if the route has LB_CORS_ORIGINS, and
// reports whether it did. It comes before authentication, because browsers send
// preflights without credentials.
func (x *exchange) answeredPreflight() bool {
	cors := x.route.cors
	if cors == nil {
		return false
	}

	if x.preflight = rules.IsPreflight(x.r); x.preflight {
		x.answerWith(cors.Preflight(x.r))
	}

	return x.preflight
}

// noteOrigin keeps the client's Origin for the answer, which may also be an
// error: a script that may not read an error takes it for one of CORS.
func (x *exchange) noteOrigin() {
	if x.route.cors != nil {
		x.origin = x.r.Header["Origin"]
	}
}

// sendToHTTPS redirects a request that came in clear text, if LB_HTTPS_REDIRECT
// is set, and reports whether it did.
func (x *exchange) sendToHTTPS() bool {
	inClear := x.hop.SaidHTTP || x.p.cfg.Process.TLSCertFile != "" && !x.hop.Secure
	if !inClear {
		return false
	}

	path, query := x.received()
	if query != "" {
		path += "?" + query
	}
	location, ok := rules.HTTPSLocation(x.hop.Host, path)
	if ok {
		x.answerWith(rules.HTTPSRedirect(location))
	}

	return ok
}

// findRoute looks the request up in the table, and reports whether it has a
// route. A request without one gets an error.
func (x *exchange) findRoute() bool {
	g := x.p.routing
	if x.asked == nil {
		x.asked = new(route.Request)
	}
	q := x.asked
	q.Method, q.Host, q.Header = x.r.Method, x.hop.Host, x.r.Header
	q.Path, q.Query = x.received()
	if g.shareCookie != nil {
		if values := affinity.TakeFrom(x.r.Header, g.shareCookie.Name, x.cookies[:0]); len(values) > 0 {
			q.Share = values[0]
		}
	}

	match, err := g.table.Find(q)
	switch {
	case err != nil:
		x.p.log.Info("request refused", "peer", x.hop.Peer, "status", http.StatusBadRequest,
			"request_id", x.errorID(), "reason", err.Error())
		x.fail(ending{http.StatusBadRequest, "us", "route"}, err)
		return false
	case match.Rule == route.NoRule:
		x.fail(ending{http.StatusNotFound, "us", "route"}, errNoRoute)
		return false
	}

	x.route, x.match, x.prefix = g.routes[match.Rule], match, match.Item.Path()
	x.record.Route, x.record.Pattern = x.route.Title(), match.Item.PathText()
	g.counts[match.Item.Place()].Add(1)

	return true
}

// answeredByRoute answers the request if its route needs no service, and
// reports whether it did.
func (x *exchange) answeredByRoute() bool {
	r := x.route
	switch {
	case r.redirect != nil:
		path, query := x.received()
		x.answerWith(r.redirect.Answer(path, query, x.prefix))
	case r.respond != nil:
		x.answerWith(r.respond.Answer())
	case r.files != nil:
		x.answerWithFile()
	default:
		return false
	}

	return true
}

// changeRequest applies the route's rules to the request. If its path can't be
// rewritten, it answers the request and reports false. After it, the request is
// read-only.
func (x *exchange) changeRequest() bool {
	r := x.route
	if r.request != nil {
		r.request.Rules().ApplyRequest(x.r.Header, &x.hop)
		x.settled = r.request.Settled()
	}
	if !r.Rewrite.Given() {
		return true
	}

	path, query := x.received()
	rewritten, ok := r.rewrite.Path(path, x.prefix)
	if !ok {
		x.fail(ending{http.StatusBadRequest, "us", "route"}, errClimbs)
		return false
	}
	x.target = rewritten
	if query != "" {
		x.target += "?" + query
	}
	if stripped := r.rewrite.Stripped(x.prefix); stripped != "" {
		x.hop.Say("X-Forwarded-Prefix",
			rules.JoinPrefix(first(x.r.Header, "X-Forwarded-Prefix"), stripped))
	}

	return true
}

// received returns the path and the query of the request's target as they came.
func (x *exchange) received() (path, query string) {
	target := x.r.RequestURI
	if !strings.HasPrefix(target, "/") && target != "*" {
		if target = wire.OriginForm(x.r.Method, target); target == "" {
			return x.path()
		}
	}
	path, query, _ = strings.Cut(target, "?")

	return path, query
}

// changeAnswer applies the route's rules to an answer. from has the fields of
// the service, and h gets those that are set or changed. They may be the same
// map.
func (x *exchange) changeAnswer(h, from http.Header) {
	r := x.route
	if r.Rewrite.Given() && x.target != "" {
		for _, name := range [...]string{"Location", "Content-Location"} {
			lines, changed := h[name]
			if !changed {
				lines = from[name]
			}
			if len(lines) == 0 {
				continue
			}
			if location, ok := r.rewrite.Location(lines[0], x.prefix, x.hop.Host); ok {
				h[name] = []string{location}
			}
		}
	}
	if r.cors != nil && !x.preflight {
		r.cors.Apply(x.origin, h, from)
	}
	if x.hop.Secure {
		r.responseHTTPS.Apply(h, from)
		return
	}
	r.response.Apply(h, from)
}

// answerWith sends an answer that Pillion made itself. The same rules apply as
// to that of a service.
func (x *exchange) answerWith(resp *http.Response) {
	x.compressOwn(resp)
	h := x.w.Header()
	edge.CopyResponse(h, resp.Header)
	x.changeAnswer(h, h)
	x.askForNewConnection(h)
	x.record.Status, x.started = resp.StatusCode, true
	x.w.WriteHeader(resp.StatusCode)

	defer resp.Body.Close()
	if x.r.Method == http.MethodHead || resp.Body == http.NoBody {
		return
	}
	if e := x.copyBody(resp); e != nil {
		x.cutOwn(e)
	}
}

// answerWithFile answers with a file of the route, or with an error.
func (x *exchange) answerWithFile() {
	r := x.route
	path, _ := x.received()
	name := path
	switch {
	case r.Rewrite.Given():
		var ok bool
		if name, ok = r.rewrite.Path(path, x.prefix); !ok {
			x.fail(ending{http.StatusBadRequest, "us", "route"}, errClimbs)
			return
		}
	case x.match.Item != nil && x.match.Item.Prefix():
		name = x.match.Rest(path)
	}

	resp := r.files.Answer(x.r, path, name)
	if resp.StatusCode >= http.StatusBadRequest {
		x.refusal = resp.Header
		x.fail(ending{resp.StatusCode, "us", "files"}, nil)
		return
	}
	x.answerWith(resp)
}

// cutOwn ends an answer that Pillion made itself and can't finish, so that the
// client notices.
func (x *exchange) cutOwn(e *wire.Error) {
	x.record.Ended, x.record.Detail = "us/body", e.Error()
	if e.Client != wire.NoFault {
		x.record.Ended, x.record.Status = "client/body", statusClientGone
	}
	panic(http.ErrAbortHandler)
}

// askForNewConnection asks an HTTP/2 client for a new connection while the
// process is ending. The server turns the field into a GOAWAY. An HTTP/1.1
// client is asked for one if its next request would have to wait until the
// cache has the rest of an answer.
func (x *exchange) askForNewConnection(h http.Header) {
	ending := x.p.draining.Load() && x.r.ProtoMajor == 2
	lingers := x.lookup != nil && x.lookup.Lingers && x.r.ProtoMajor == 1
	if ending || lingers {
		h["Connection"] = []string{"close"}
	}
}
