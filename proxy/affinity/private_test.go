package affinity

import (
	"net/http"
	"testing"
)

func TestKeepPrivate_SharedCachesAreKeptOut(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                  "private",
		"public, max-age=60":                "private, max-age=60",
		"max-age=60, s-maxage=600":          "private, max-age=60",
		"no-store":                          "no-store",
		"private, max-age=1":                "private, max-age=1",
		`Private="x"`:                       "private", // x alone was kept out of shared caches
		"no-cache":                          "private, no-cache",
		"proxy-revalidate, must-revalidate": "private, must-revalidate",
	} {
		h := http.Header{}
		if in != "" {
			h.Set("Cache-Control", in)
		}
		if KeepPrivate(h, h); h.Get("Cache-Control") != want {
			t.Errorf("%q becomes %q, not %q", in, h.Get("Cache-Control"), want)
		}
	}
}

// What speaks to one cache alone overrides Cache-Control there (RFC 9213
// section 2.2).
func TestKeepPrivate_TargetedFieldsDoNotOverrideIt(t *testing.T) {
	t.Parallel()
	for name, values := range map[string]map[string]string{
		"Cdn-Cache-Control": {"public, max-age=600": "private", "no-store": "no-store",
			"private, max-age=1": "private, max-age=1"},
		"Cloudflare-Cdn-Cache-Control": {"max-age=600": "private"},
		"Surrogate-Control":            {"max-age=600": "no-store"},
		"Edge-Control":                 {"max-age=600": "no-store"},
		"X-Accel-Expires":              {"600": "0", "0": "0"},
		"X-Cache":                      {"HIT": "HIT"},
	} {
		for in, want := range values {
			from, h := http.Header{name: {in}}, http.Header{}
			KeepPrivate(from, h)
			got := h.Get(name)
			if got == "" {
				got = from.Get(name)
			}

			if got != want || h.Get("Cache-Control") != "private" {
				t.Errorf("%s: %s becomes %q beside Cache-Control %q, want %q", name, in, got, h.Get("Cache-Control"), want)
			}
		}
	}
}
