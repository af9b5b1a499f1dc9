// Package status serves Pillion's own paths, which tell about the process, and
// has the clients of two commands.
//
// The server side is one Handler in front of the app's traffic. Match reports
// whether the raw bytes of a request's target name one of the three paths that
// need no token: started, ready, live. Owns includes the pages that need the
// token: the status page, the same as JSON, the metrics, and the purge of the
// cache. Every other request goes to the app, even below the prefix, and even
// if its token is missing or wrong. So a client without the token can't find
// out that Pillion is there.
//
// The client side is Healthcheck, which asks the process on this machine
// whether it is ready, and Wait, which waits for other servers. The caller
// keeps all state and passes it in as functions. The package starts no
// goroutines.
package status

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/cache"
)

// Handler serves Pillion's own paths. Set its fields before its first use, and
// don't change them later. A Handler without a Prefix owns no path. It is safe
// for concurrent use.
type Handler struct {
	Prefix    string         // begins and ends with a slash; "" turns all own paths off
	Lifecycle *Lifecycle     // decides the answers of started and ready
	Token     *config.Secret // guards the pages; nil: there are no pages
	State     func() State   // returns what the page and its JSON show; nil: there are none
	Events    *Events        // the log records on the page; nil: none
	Metrics   http.Handler   // serves PREFIXmetrics; nil: there is none

	Cache  *cache.Cache // PREFIXcache/purge drops its answers; nil: there is no cache
	Logger *slog.Logger // logs purges, and one request with a wrong token

	wrongHint atomic.Bool
}

// Match reports whether target, the request target as received, is started,
// ready or live below the prefix, with or without a query. It compares bytes. A
// target in another spelling belongs to the app, because the app may read it
// differently.
func (h *Handler) Match(target string) bool {
	name, ok := h.name(target)
	return ok && (name == "started" || name == "ready" || name == "live")
}

// Owns reports whether a request is for Pillion itself: its target matches, or
// it is for a page and carries the token.
func (h *Handler) Owns(r *http.Request) bool {
	return h.Match(r.RequestURI) || h.page(r) != nil || h.purges(r)
}

// ServeHTTP answers a request for which Owns is true. It answers any other with
// 404.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "no-referrer") // the token may be in the URL
	serve := h.page(r)
	if h.Match(r.RequestURI) {
		serve = h.probe
	}

	switch {
	case h.purges(r):
		h.purge(w, r)
	case h.needsRedirect(r):
		h.redirect(w, r)
	case serve == nil:
		text(w, r, http.StatusNotFound,
			"not found; the pages of this token are "+h.Prefix+", "+
				h.Prefix+"state.json and "+h.Prefix+"metrics")
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		text(w, r, http.StatusMethodNotAllowed, "method not allowed")
	default:
		serve(w, r)
	}
}

// Before returns a handler that answers the requests that Owns reports, and
// passes the others on to next. It also answers a request that carries the
// right token but asks for no page, with 404: a mistyped path must not pass the
// token on to the app, to its log, or to a span. A client that does not know
// the token can't get this answer.
func (h *Handler) Before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.Owns(r) || h.carriesToken(r) {
			h.ServeHTTP(w, r)
			return
		}

		h.hintWrong(r)
		next.ServeHTTP(w, r)
	})
}

// hintWrong says once that a page was asked for without its token. Who asks
// gets the app's answer and can't tell a wrong token from a page that is off.
func (h *Handler) hintWrong(r *http.Request) {
	name, ok := h.name(r.RequestURI)
	if !ok || h.Token == nil || h.Logger == nil || name != "" && name != "state.json" &&
		name != "metrics" || !h.wrongHint.CompareAndSwap(false, true) {
		return
	}
	h.Logger.Info("the status page was asked for without the token of LB_STATUS_TOKEN, "+
		"so the app got the request", "peer", r.RemoteAddr)
}

// probe answers started, ready and live.
func (h *Handler) probe(w http.ResponseWriter, r *http.Request) {
	name, _ := h.name(r.RequestURI)
	switch {
	case name == "live", name == "started" && h.Lifecycle.Started(), name == "ready" &&
		h.Lifecycle.Ready():
		text(w, r, http.StatusOK, name)
	default:
		text(w, r, http.StatusServiceUnavailable, "not "+name)
	}
}

// name returns the part of a target between the prefix and the query. It
// reports false if the target is not below the prefix.
func (h *Handler) name(target string) (string, bool) {
	rest, ok := strings.CutPrefix(target, h.Prefix)
	if !ok || h.Prefix == "" {
		return "", false
	}

	name, _, _ := strings.Cut(rest, "?")
	return name, true
}

// page returns the function that serves a guarded page. It returns nil if the
// request is for no page, or does not carry the right token.
func (h *Handler) page(r *http.Request) http.HandlerFunc {
	name, ok := h.name(r.RequestURI)
	if !ok {
		return nil
	}

	var serve http.HandlerFunc
	switch {
	case name == "" && h.State != nil:
		serve = h.html
	case name == "state.json" && h.State != nil:
		serve = h.json
	case name == "metrics" && h.Metrics != nil:
		serve = h.Metrics.ServeHTTP
	}

	if serve == nil || !h.authorized(r) {
		return nil
	}

	return serve
}

// state returns what the page and its JSON show.
func (h *Handler) state() State {
	s := h.State()
	if h.Cache != nil {
		stats := h.Cache.Stats()
		s.Cache = &stats
	}
	if h.Events != nil {
		s.Events = h.Events.All()
	}

	return s
}

func (h *Handler) json(w http.ResponseWriter, r *http.Request) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	if err := enc.Encode(h.state()); err != nil {
		text(w, r, http.StatusInternalServerError, "the state cannot be written")
		return
	}

	body(w, r, http.StatusOK, "application/json", b.Bytes())
}

func text(w http.ResponseWriter, r *http.Request, status int, line string) {
	body(w, r, status, "text/plain; charset=utf-8", []byte(line+"\n"))
}

func body(w http.ResponseWriter, r *http.Request, status int, kind string, content []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		// An error means that the client has gone.
		_, _ = io.Copy(w, bytes.NewReader(content))
	}
}
