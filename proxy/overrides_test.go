package proxy

import (
	"net/http/httptest"
	"slices"
	"testing"
)

// What a gate decides by is what the backend acts on: no field passes that
// names another path or method, in any spelling.
func TestGate_NothingOverridesWhatItHasLookedAt(t *testing.T) {
	t.Parallel()
	paths := []string{"X-Original-Url", "X_rewrite_url"}
	methods := []string{"X-Http-Method-Override"}
	for setting, dropped := range map[string][]string{
		"LB_DENY_PATHS=/admin/*":       paths,
		"LB_ALLOW_PATHS=/x":            paths,
		"LB_ALLOW_METHODS=GET":         methods,
		"LB_AUTH_SKIP=/x":              append(slices.Clone(paths), methods...),
		"LB_RATE_LIMIT=9/s?path=/y":    paths,
		"LB_RATE_LIMIT=9/s?method=PUT": methods,
		"LB_RATE_LIMIT=9/s":            nil,
		"LB_ALLOW_FROM=0.0.0.0/0":      nil,
		"LB_CORS_ORIGINS=https://a.nl": nil,
	} {
		s := newScripted(t, Options{}, []string{"a"}, setting, "LB_BASIC_AUTH=ann:correct horse")
		r := request("GET", "/x")
		r.SetBasicAuth("ann", "correct horse")
		for _, name := range append(slices.Clone(paths), methods...) {
			r.Header[name] = []string{"/admin/x"}
		}

		w := httptest.NewRecorder()
		if s.p.ServeHTTP(w, r); w.Code != 200 || len(s.sent) != 1 {
			t.Fatalf("%s: %d, %d attempts", setting, w.Code, len(s.sent))
		}
		for _, name := range append(slices.Clone(paths), methods...) {
			passed := s.sent[0].header[name] != nil
			for _, f := range s.sent[0].fields {
				passed = passed && (f.Name != name || f.Value != "")
			}
			if passed == slices.Contains(dropped, name) {
				t.Errorf("%s: %s passes: %v", setting, name, passed)
			}
		}
	}
}
