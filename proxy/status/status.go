// Package status is what the process says about itself: the answers on our own paths, and the clients that ask.
//
// The server side is one Handler in front of the app's traffic. Match says, from the raw bytes of a request's target,
// whether it is one of the three questions that anybody may ask: started, ready, live. Owns also knows the pages that
// only the holder of the token sees: the page of the backends, the same as JSON, and the metrics. Whatever is not ours
// goes to the app, also under our prefix, and also when a token is missing or wrong: nobody can tell that we are there.
//
// The client side is Healthcheck, which asks our own listener whether it is ready, and Wait, which waits for others.
// How state is kept is the caller's matter; it comes in by functions. The package starts no goroutines.
package status

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/pillion-lb/pillion/config"
)

// Handler answers on our own paths. Its fields are set before it is used and not changed after. A Handler without a
// Prefix owns nothing. Safe for concurrent use.
type Handler struct {
	Prefix    string         // begins and ends with a slash; "" turns all own paths off
	Lifecycle *Lifecycle     // what started and ready answer
	Token     *config.Secret // who knows it sees the pages; nil: nobody does
	State     func() State   // what the page and its JSON show; nil: they are not ours
	Metrics   http.Handler   // PREFIXmetrics; nil: it is not ours
}

// Match reports whether target, the request target as received, is one of started, ready and live below the prefix,
// byte for byte, with or without a query. No other spelling is: a target that an app might see differently is the app's.
func (h *Handler) Match(target string) bool {
	name, ok := h.name(target)
	return ok && (name == "started" || name == "ready" || name == "live")
}

// Owns reports whether a request is ours to answer: one that Match takes, or one for a page that carries the token.
func (h *Handler) Owns(r *http.Request) bool {
	return h.Match(r.RequestURI) || h.page(r) != nil
}

// ServeHTTP answers a request that is ours, and 404 to any other.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	serve := h.page(r)
	if h.Match(r.RequestURI) {
		serve = h.question
	}
	switch {
	case serve == nil:
		text(w, r, http.StatusNotFound, "not found")
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		text(w, r, http.StatusMethodNotAllowed, "method not allowed")
	default:
		serve(w, r)
	}
}

// Before answers what is ours and leaves the rest to next.
func (h *Handler) Before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.Owns(r) {
			h.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// question answers started, ready and live.
func (h *Handler) question(w http.ResponseWriter, r *http.Request) {
	name, _ := h.name(r.RequestURI)
	switch {
	case name == "live", name == "started" && h.Lifecycle.Started(), name == "ready" && h.Lifecycle.Ready():
		text(w, r, http.StatusOK, name)
	default:
		text(w, r, http.StatusServiceUnavailable, "not "+name)
	}
}

// name is the part of a target between our prefix and the query.
func (h *Handler) name(target string) (string, bool) {
	rest, ok := strings.CutPrefix(target, h.Prefix)
	if !ok || h.Prefix == "" {
		return "", false
	}
	name, _, _ := strings.Cut(rest, "?")
	return name, true
}

// page returns what serves a guarded page, nil when the request is for none or its token is not ours.
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

func (h *Handler) json(w http.ResponseWriter, r *http.Request) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	if err := enc.Encode(h.State()); err != nil {
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
		_, _ = io.Copy(w, bytes.NewReader(content)) // a client that left has no use for an error
	}
}
