package access

import (
	"net/http"

	"github.com/pillion-lb/pillion/config"
)

// Skips are the requests that need no token and no password (LB_AUTH_SKIP).
type Skips struct {
	every     *AllowedPaths
	by        map[string]*AllowedPaths // by method
	preflight bool
}

// NewSkips makes the set of a list. It returns nil for an empty list.
func NewSkips(s config.AuthSkips) *Skips {
	if len(s.Paths) == 0 && !s.Preflight {
		return nil
	}

	lists := make(map[string]config.AccessPaths)
	for _, p := range s.Paths {
		lists[p.Method] = append(lists[p.Method], p.Path)
	}
	skips := &Skips{preflight: s.Preflight, by: make(map[string]*AllowedPaths)}
	for method, list := range lists {
		if method == "" {
			skips.every = NewAllowedPaths(list)
		} else {
			skips.by[method] = NewAllowedPaths(list)
		}
	}

	return skips
}

// Hold reports whether a request is one of them. Only its method and the
// received path decide, and for preflights two fields.
func (s *Skips) Hold(r *http.Request, path string) bool {
	switch {
	case s == nil:
		return false
	case s.preflight && preflight(r):
		return true
	case s.every != nil && s.every.Hold(path):
		return true
	}
	if of := s.by[r.Method]; of != nil && of.Hold(path) {
		return true
	}
	// A HEAD tells less than a GET does (RFC 9110 section 9.3.2).
	of := s.by[http.MethodGet]

	return r.Method == http.MethodHead && of != nil && of.Hold(path)
}

// preflight reports whether a request is a CORS preflight, which browsers send
// without credentials.
func preflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && len(r.Header["Origin"]) > 0 &&
		len(r.Header["Access-Control-Request-Method"]) > 0
}
