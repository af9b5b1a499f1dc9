package server

import (
	"net/http"
	"net/http/httptest"
)

// Direct hands requests to a handler without a network, so that tests can have
// a time of their own. A handler that aborts, or a request whose context has
// ended, is an error.
func Direct(h http.Handler) http.RoundTripper { return direct{h} }

type direct struct{ handler http.Handler }

// RoundTrip serves the request.
func (d direct) RoundTrip(r *http.Request) (res *http.Response, err error) {
	defer func() {
		if recover() != nil {
			res, err = nil, http.ErrAbortHandler
		}
	}()
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}

	return w.Result(), nil
}
