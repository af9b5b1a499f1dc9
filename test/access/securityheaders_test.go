package access

import (
	"net/http"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/backend"
)

func TestSecurityHeaders_AreAddedUnlessTheAppSetsThem(t *testing.T) {
	t.Parallel()
	app := backend.Start(t, "app", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Powered-By", "PHP/5")
		if r.URL.Path == "/own" {
			for _, name := range []string{"X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy",
				"Strict-Transport-Security"} {
				w.Header().Set(name, "its own")
			}
		}
	})
	p := pillion.Start(t, backend.Backends(app), "LB_SECURITY_HEADERS=on", "LB_TRUSTED_PROXIES=127.0.0.0/8",
		"LB_ROUTE__OFF=/off/*", "LB_SERVICE__OFF=default", "LB_SECURITY_HEADERS__OFF=off",
		"LB_ROUTE__TUNED=/tuned", "LB_SERVICE__TUNED=default",
		"LB_RESPONSE_HEADERS__TUNED=X-Frame-Options=DENY;-Referrer-Policy",
		"LB_ROUTE__FIXED=/fixed", "LB_RESPOND__FIXED=404")

	const nosniff, same, referrer, hsts = "nosniff", "SAMEORIGIN", "strict-origin-when-cross-origin", "max-age=31536000"
	for _, c := range []struct {
		path, scheme                                 string
		sniff, frame, referrer, transport, poweredBy string
	}{
		{"/", "http", nosniff, same, referrer, "", ""},
		{"/", "https", nosniff, same, referrer, hsts, ""},
		{"/own", "https", "its own", "its own", "its own", "its own", ""},
		{"/off/x", "https", "", "", "", "", "PHP/5"},
		{"/tuned", "https", nosniff, "DENY", "", hsts, ""},
		{"/fixed", "https", nosniff, same, referrer, hsts, ""},
	} {
		h := raw(t, p, "GET "+c.path, "X-Forwarded-Proto: "+c.scheme).Header
		for name, want := range map[string]string{
			"X-Content-Type-Options": c.sniff, "X-Frame-Options": c.frame, "Referrer-Policy": c.referrer,
			"Strict-Transport-Security": c.transport, "X-Powered-By": c.poweredBy,
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s %s: %s: %q, want %q", c.scheme, c.path, name, got, want)
			}
		}
	}
}
